"""What a run is asked for, in `spec.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.domain.job import Action
from monitor.runs.artifact import Artifact, HashedFile
from monitor.runs.file import read_file, write_file
from monitor.runs.policy import PolicyInputs

SPEC_FILE = "spec.json"


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One training run.

    `preferences` rows: {"preference_id", "conversation_id", "messages": [{"role", "content"}],
    "chosen", "rejected", "cohort", "timestamp", "by", "criteria_version", "annotators", "agreement",
    "strength", "dimensions", "judgements"}. The id is a hash of what was judged; `by` is "human", or "ai" where no
    person judged it; `annotators` are hashes of names, null for one without a name; `agreement` is the share of them
    who chose so, and `strength`, 0 to 1, how clearly, by labels that are graded; `judgements` are [source, id, digest].
    What comes after the timestamp may be absent.

    A `refusal_refresh` learns from judged answers instead, as `labels.refusals.RefusalRow` has them, and its base is a
    folder of weights.

    `rescore` rows: {"index", "messages", "response", "reference_response"}: the baseline window's traces, to be
    scored by the candidate.
    """

    job_id: int
    action: Action
    base_model: str  # a folder: what the training begins from
    champion: Artifact | None
    preferences: HashedFile
    rescore: HashedFile | None
    recipe: Mapping[str, float | int | str | bool]
    seed: int
    output: str  # absolute folder, empty or absent before the run
    preferences_card: str | None = None  # absolute path of what the pairs are, in numbers: `labels.card.SetCard`
    scored_tokens: int | None = None  # a scorer reads at most so many where it serves; None: the recipe's max_length
    policy: PolicyInputs | None = None  # of a run that trains a policy
    checkpoints: str | None = None  # absolute folder of the job that outlives its attempts; a run resumes from there


def write_spec(path: Path, spec: RunSpec) -> None:
    write_file(path, spec)


def read_spec(path: Path) -> RunSpec:
    return read_file(path, RunSpec)
