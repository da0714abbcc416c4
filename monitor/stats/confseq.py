"""Betting confidence sequences for the mean of bounded observations.

References
----------
Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting",
arXiv 2010.09686: theorem 3 (hedged capital), equation 26 (predictable plug-in bets).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID = 1000
LOSS_LIMIT = 0.5  # a bet may lose at most this share of its capital


@dataclass(frozen=True, slots=True)
class Interval:
    lower: float
    upper: float


def mean_interval(values: NDArray[np.float64], *, alpha: float = 0.05) -> Interval:
    """Return the confidence sequence for the mean at its last observation.

    Parameters
    ----------
    values : (n,), each in [0, 1], in order.
    alpha : the probability that the sequence ever misses the mean.

    Assumptions
    -----------
    Every observation has the same conditional mean given the past.

    Guarantee
    ---------
    P(the mean ever leaves the sequence) <= alpha, at any stopping time. The intervals are
    not intersected over time: a later drift inside the window widens rather than empties them.
    """
    if not len(values):
        return Interval(0.0, 1.0)
    count = np.arange(1, len(values) + 1)
    means = (0.5 + np.cumsum(values)) / (count + 1)
    variances = (0.25 + np.cumsum((values - means) ** 2)) / (count + 1)
    previous = np.concatenate(([0.25], variances[:-1]))
    bets = np.sqrt(2.0 * np.log(2.0 / alpha) / (previous * count * np.log1p(count)))
    grid = np.linspace(0.0, 1.0, GRID + 1)
    capital_above, capital_below = np.zeros_like(grid), np.zeros_like(grid)
    with np.errstate(divide="ignore"):
        cap_above, cap_below = LOSS_LIMIT / grid, LOSS_LIMIT / (1.0 - grid)
    for start in range(0, len(values), 512):
        gap = values[start : start + 512, None] - grid
        bet = bets[start : start + 512, None]
        capital_above += np.log1p(np.minimum(bet, cap_above) * gap).sum(axis=0)
        capital_below += np.log1p(-np.minimum(bet, cap_below) * gap).sum(axis=0)
    kept = grid[np.maximum(capital_above, capital_below) < np.log(2.0 / alpha)]
    if not len(kept):
        middle = float(values.mean())
        return Interval(middle, middle)
    step = 1.0 / GRID
    return Interval(max(float(kept[0]) - step, 0.0), min(float(kept[-1]) + step, 1.0))
