"""Betting confidence sequences for the mean of bounded observations.

References
----------
Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting",
arXiv 2010.09686: theorem 3 (hedged capital), section 4.3 (mixtures of bets).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID = 500
BLOCK = 256
STANDARDISED_BETS = np.geomspace(0.02, 1.0, 8)  # lambda times the expected standard deviation
LOSS_LIMIT = 0.5  # a bet may lose at most this share of its capital


@dataclass(frozen=True, slots=True)
class Interval:
    lower: float
    upper: float


def mean_interval(values: NDArray[np.float64], *, sd: float = 0.5, alpha: float = 0.05) -> Interval:
    """Return the confidence sequence for the mean at its last observation.

    Parameters
    ----------
    values : (n,), each in [0, 1], in order.
    sd : the standard deviation expected before any was seen; it sets the stakes, not the guarantee.
    alpha : the probability that the sequence ever misses the mean.

    Assumptions
    -----------
    Every observation has the same conditional mean given the past.

    Guarantee
    ---------
    P(the mean ever leaves the sequence) <= alpha, at any stopping time. The intervals are
    not intersected over time: a later drift inside the window widens rather than empties them.
    """
    grid = np.linspace(0.0, 1.0, GRID + 1)
    stakes = STANDARDISED_BETS[:, None] / max(sd, 1.0 / GRID)
    with np.errstate(divide="ignore"):
        above = np.minimum(stakes, LOSS_LIMIT / grid)[:, None]
        below = np.minimum(stakes, LOSS_LIMIT / (1.0 - grid))[:, None]
    log_above, log_below = np.zeros((len(stakes), GRID + 1)), np.zeros((len(stakes), GRID + 1))
    # The stakes never change, so the capital does not depend on the order: equal values are counted, not repeated.
    distinct, counts = np.unique(values, return_counts=True)
    for start in range(0, len(distinct), BLOCK):
        gap = distinct[start : start + BLOCK, None] - grid
        times = counts[start : start + BLOCK, None]
        log_above += (times * np.log1p(above * gap)).sum(axis=1)
        log_below += (times * np.log1p(-below * gap)).sum(axis=1)
    highest = np.maximum(_log_mean(log_above), _log_mean(log_below))
    kept = grid[highest < np.log(2.0 / alpha)]
    if not len(kept):
        kept = grid[[np.argmin(highest)]]
    step = 1.0 / GRID
    return Interval(max(float(kept[0]) - step, 0.0), min(float(kept[-1]) + step, 1.0))


def _log_mean(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - np.log(len(logs)))
