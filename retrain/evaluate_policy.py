"""Holding a candidate policy against the champion on the same prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monitor.runs.artifact import HashedFile
from monitor.runs.policy import Comparison
from monitor.runs.spec import RunSpec
from retrain.progress import Progress


@dataclass(frozen=True, slots=True)
class PolicyComparison:
    comparisons: tuple[Comparison, ...]
    evidence: tuple[HashedFile, ...]


def compare_policies(
    spec: RunSpec, candidate: Path, champion: Path, *, output: Path, seed: int, progress: Progress
) -> PolicyComparison:
    """Return how the candidate differs from the champion, measure by measure."""
    return PolicyComparison((), ())
