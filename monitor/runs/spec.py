"""What a run is asked for, in `spec.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.domain.job import Action
from monitor.runs.artifact import Artifact, HashedFile
from monitor.runs.file import read_file, write_file

SPEC_FILE = "spec.json"


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One training run.

    `preferences` rows: {"preference_id", "conversation_id", "messages": [{"role", "content"}],
    "chosen", "rejected", "cohort", "timestamp"}. `rescore` rows: {"index", "messages", "response",
    "reference_response"}: the baseline window's traces, to be scored by the candidate.
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


def write_spec(path: Path, spec: RunSpec) -> None:
    write_file(path, spec)


def read_spec(path: Path) -> RunSpec:
    return read_file(path, RunSpec)
