"""How alike two scorers score the same things: arrays in, frozen results out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

MIN_ALIKE = 3


@dataclass(frozen=True, slots=True)
class Alikeness:
    """Two scorers on the same *count* things; None: one of them scored them all the same."""

    count: int
    correlation: float | None  # Pearson's
    rank_agreement: float | None  # share of the pairs of things that both put in the same order; a tie counts half
    mean_difference: float | None  # of the second less the first, in standard deviations of the first


def alikeness(first: NDArray[np.float64], second: NDArray[np.float64]) -> Alikeness | None:
    """Compare two scorers' scores of the same things, in the same order; None for fewer than three."""
    if len(first) < MIN_ALIKE:
        return None
    spread = float(first.std())
    difference = float((second - first).mean()) / spread if spread else None
    if not spread or not float(second.std()):
        return Alikeness(len(first), None, None, difference)
    tau = float(kendalltau(first, second).statistic)
    return Alikeness(len(first), float(np.corrcoef(first, second)[0, 1]), (tau + 1.0) / 2.0, difference)
