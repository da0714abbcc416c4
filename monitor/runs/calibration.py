"""What a scorer's margins are worth, as fitted on held-out human pairs and kept with its version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginBound:
    """How large a margin must be to be trusted: the split-conformal quantile of the margin's error.

    The error of a pair is how far the scorer puts the answer that people rejected above the one they chose. Of new
    pairs like those it was fitted on, at most `error_rate` have a larger one. So an answer whose margin exceeds the
    `quantile` is the worse one for at most that share of all pairs.
    """

    pairs: int  # it was fitted on
    quantile: float | None  # in the unit of margins; None: too few pairs for any bound
    beyond: float | None = None  # share of the pairs whose margin exceeds it, either way


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerCalibration:
    """Fitted on all held-out pairs; what is told of its quality was measured on pairs that the fit did not see."""

    temperature: float  # by which each member's margin is divided before its sigmoid
    pairs: int  # held out
    error_before: float  # expected calibration error at temperature 1
    error_after: float | None  # the same at temperatures fitted on the other folds; None: some fold had none
    error_rate: float  # of the bounds
    pooled: MarginBound
    by_cohort: Mapping[str, MarginBound] = field(default_factory=dict)  # of cohorts with enough pairs of their own
    covered: float | None = (
        None  # share of the pairs within the bounds fitted on the other folds; 1 - error_rate wanted
    )
