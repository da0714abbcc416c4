"""What a run tells of one measure: the candidate beside the champion."""

from __future__ import annotations

from monitor.runs.policy import Comparison
from monitor.stats.comparison import Difference


def compared(name: str, found: Difference, *, cohort: str | None = None, detail: str = "") -> Comparison:
    """Return *found*, in the measure's own unit, as the run's result holds it."""
    return Comparison(
        name=name,
        cohort=cohort,
        items=found.items,
        candidate=found.candidate,
        champion=found.champion,
        difference=found.difference,
        lower=found.lower,
        upper=found.upper,
        detail=detail,
    )
