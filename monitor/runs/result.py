"""What a run reports, in `result.json`: why it failed, or what its action's kind of run succeeds with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from monitor.runs.artifact import Artifact, HashedFile
from monitor.runs.calibration import ScorerCalibration
from monitor.runs.file import parse, read_object, write_file
from monitor.runs.lineage import Lineage

RESULT_FILE = "result.json"


class ExitCode(IntEnum):
    """How `python -m retrain` ends."""

    GOOD = 0
    FAILED = 1
    BAD_SPEC = 2  # another attempt would read the same
    NO_ROOM = 3  # the disk is full, and stays so until somebody makes room


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that ended without a candidate, whatever its action."""

    error: str
    seconds: float
    status: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A run that succeeded; each action adds what its gate reads."""

    role: ClassVar[str]  # the registry's pointer that a promotion moves

    candidate: Artifact
    seconds: float
    rescored: (
        HashedFile | None
    )  # rows {"index", "mean", "disagreement", "margins"}: the baseline's traces by the candidate
    status: Literal["succeeded"] = "succeeded"
    lineage: Lineage | None = None  # None in what earlier releases wrote

    @property
    def metrics(self) -> PairMetrics | None:
        """How well the candidate agrees with people, which is kept with the registered model."""
        return None


@dataclass(frozen=True, slots=True)
class PairMetrics:
    """A scorer's agreement with held-out human pairs."""

    pairs: int
    accuracy: float
    accuracy_lower: float  # 95% interval
    accuracy_upper: float
    accuracy_by_cohort: Mapping[str, float] = field(default_factory=dict)
    pairs_by_cohort: Mapping[str, int] = field(default_factory=dict)
    length_balanced_accuracy: float | None = None
    length_balanced_pairs: int = 0
    expected_calibration_error: float | None = None
    temperature: float | None = None
    length_reward_correlation: float | None = None
    # share of the pairs judged by a dimension, and no tie in it, whose verdict in it the scorer's mean agrees with
    accuracy_by_dimension: Mapping[str, float] = field(default_factory=dict)
    pairs_by_dimension: Mapping[str, int] = field(default_factory=dict)
    # how well the members' disagreement tells wrong pairs from right ones: .5 not at all, 1 always; None: one member,
    # or no pair of one kind
    disagreement_auroc: float | None = None
    disagreement_auroc_lower: float | None = None  # 95% interval
    disagreement_auroc_upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionHead:
    """A head trained on one dimension's verdicts, measured on held-out pairs that carry the dimension.

    It is stored beside the ensemble's members and is no part of their mean.
    """

    train_pairs: int
    pairs: int  # held out
    accuracy: float | None  # None: none was held out
    accuracy_lower: float | None = None  # 95% interval
    accuracy_upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardResult(RunResult):
    """A refreshed reward ensemble beside the champion, on the same held-out pairs."""

    role: ClassVar[str] = "reward"

    candidate_metrics: PairMetrics
    champion_metrics: PairMetrics | None  # None: the run was given no champion
    longer_wins_accuracy: float | None  # the baseline any reward model must beat
    train_pairs: int
    held_out_pairs: int
    # of a TF-IDF Bradley-Terry model trained on the same pairs, on the same held-out pairs: the other baseline to beat
    tfidf_accuracy: float | None = None
    # share of pairs of answers from the baseline's window that candidate and champion rank alike; None without either
    anchor_agreement: float | None = None
    anchor_pairs: int = 0
    dimension_heads: Mapping[str, DimensionHead] = field(default_factory=dict)
    calibration: ScorerCalibration | None = None  # of the candidate; None: its margins say nothing
    action: Literal["reward_refresh"] = "reward_refresh"  # absent in what the first release wrote

    @property
    def metrics(self) -> PairMetrics:
        return self.candidate_metrics


Result = TypeVar("Result", bound=RunResult)


def write_result(path: Path, result: RunResult | Failure) -> None:
    write_file(path, result)


def read_result(path: Path, kind: type[Result]) -> Result | Failure:
    """Read what a run reports; raise `InvalidInput` where it is neither a *kind* nor a failure."""
    raw = read_object(path)
    # The first release wrote one type for both: an empty error, or a success's fields without a value.
    if raw.get("status") == "failed":
        return parse(raw, Failure, path=path, ignored=[item.name for item in fields(kind)])
    return parse(raw, kind, path=path, ignored=["error"])
