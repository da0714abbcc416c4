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
DRAWN_STAKES = 0.45 * 0.5 ** np.arange(14.0)  # lambda, of which those are placed that the probabilities allow
DRAWN_LOSS_LIMIT = 0.9
HALVINGS = 24  # of [0, 1], in search of an end


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


@dataclass(frozen=True, slots=True)
class Drawn:
    """Items of which a few were drawn and have their verdict y: each item has g = m + (xi / pi) (y - m).

    Its prediction m lies in [0, 1] and was made from earlier items alone; xi is 1 where it was drawn, else 0. Arrays
    (n,) are of those drawn, in any order; the sums are of all items.
    """

    predictions: NDArray[np.float64]
    values: NDArray[np.float64]  # 0 to 1
    probabilities: NDArray[np.float64]
    items: int
    prediction_sum: float
    prediction_square_sum: float
    least_probability: float  # no item, drawn or not, had a smaller one

    def log_capital(self, mean: float, *, above: bool) -> float:
        """Return the log of what bets that the verdicts' mean is *above* (or below) *mean* have come to, at least."""
        # |g - mean| is at most 1 / pi. A stake that is too high for any item is left out for all: its share is lost.
        most = DRAWN_LOSS_LIMIT * self.least_probability
        stakes = DRAWN_STAKES[most >= DRAWN_STAKES]
        gaps = self.predictions + (self.values - self.predictions) / self.probabilities - mean
        others = self.items - len(gaps)
        total = self.prediction_sum - float(self.predictions.sum())
        squares = self.prediction_square_sum - float((self.predictions**2).sum())
        gap_squares = max(squares - 2.0 * mean * total + others * mean**2, 0.0)
        sign = 1.0 if above else -1.0
        drawn = np.log1p(sign * stakes[:, None] * gaps).sum(axis=1)
        # For those not drawn two sums do: log(1 + x) >= x + x^2 (log(1 - b) + b) / b^2 for every x >= -b.
        rest = sign * stakes * (total - others * mean) + (np.log1p(-stakes) + stakes) * gap_squares
        return float(np.logaddexp.reduce(drawn + rest, initial=-np.inf) - np.log(len(DRAWN_STAKES)))


def drawn_mean_interval(drawn: Drawn, *, alpha: float = 0.05) -> Interval:
    """Return the confidence sequence for the mean verdict of all items, at the last of them.

    Assumptions
    -----------
    Every item's verdict has the same conditional mean given the past, its probability is known before its verdict,
    and what is drawn hangs on nothing else.

    Guarantee
    ---------
    P(the mean ever leaves the sequence) <= alpha, at any stopping time, whatever the predictions are worth: E g is
    the mean, so for each stake the product of 1 + stake * (g - mean) is a nonnegative martingale, and so is their
    mixture. As in `mean_interval`, the intervals are not intersected over time. The cost grows with the drawn alone.
    """
    threshold = np.log(2.0 / alpha)
    ends = []
    for above in (True, False):
        outside, inside = (0.0, 1.0) if above else (1.0, 0.0)
        if drawn.log_capital(outside, above=above) < threshold:
            ends.append(outside)
            continue
        # The capital falls from the outside inwards, and at the mean of g it has won nothing.
        for _ in range(HALVINGS):
            middle = (outside + inside) / 2.0
            if drawn.log_capital(middle, above=above) < threshold:
                inside = middle
            else:
                outside = middle
        ends.append(outside)
    return Interval(*ends)
