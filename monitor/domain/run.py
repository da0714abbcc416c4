"""The contract between the daemon and one training run: files in, files out.

The daemon writes a folder with `spec.json` (a `RunSpec`) and the data files it
names; `python -m retrain --spec FOLDER/spec.json` writes `result.json` (a
`RunResult`) and the candidate beside it. A run needs no Kafka, database or API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.domain.job import Action


@dataclass(frozen=True, slots=True)
class HashedFile:
    path: str  # absolute
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """An ensemble on disk: a folder with one sub-folder per member, `member-0`, `member-1`, ..."""

    version: str
    path: str  # absolute
    sha256: str  # over the sorted relative paths and the bytes of all files


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One training run.

    `preferences` rows: {"preference_id", "conversation_id", "messages": [{"role", "content"}],
    "chosen", "rejected", "cohort", "timestamp"}. `rescore` rows: {"index", "messages", "response"}:
    the baseline window's traces, to be scored by the candidate.
    """

    job_id: int
    action: Action
    base_model: str  # a folder: what each new member is fine-tuned from
    champion: Artifact | None
    preferences: HashedFile
    rescore: HashedFile | None
    recipe: Mapping[str, float | int | str | bool]
    seed: int
    output: str  # absolute folder, empty or absent before the run
    scored_tokens: int | None = None  # a scorer reads at most so many where it serves; None: the recipe's max_length


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


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run reports; `rescored` rows: {"index", "mean", "disagreement"}."""

    status: str  # "succeeded" | "failed"
    error: str | None
    candidate: Artifact | None
    candidate_metrics: PairMetrics | None
    champion_metrics: PairMetrics | None
    longer_wins_accuracy: float | None  # the baseline any reward model must beat
    train_pairs: int
    held_out_pairs: int
    rescored: HashedFile | None
    seconds: float
