"""The e-value of a stretch of observations: a mixture of capitals, each begun at the stretch's first row.

A Shiryaev-Roberts statistic grows by about one with each observation although nothing has changed, so it is
no e-value and must never be given to a procedure that wants one. A mixture of products of bets is.

References
----------
Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting", arXiv 2010.09686, section 4.
Ramdas, Grunwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference", arXiv 2210.01948.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.stats.edetector import BETS

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mixture:
    """How the capitals of a stream's bets make one e-value; arrays of shape (components,).

    Guarantee
    ---------
    While every channel's conditional mean stays in its null interval, given all that came before, each
    capital is a nonnegative supermartingale that begins at 1, and so is the mixture. Its value at the stretch's
    end, or whenever anybody looks, is an e-value: its mean is at most 1.
    """

    weights: Floats  # above 0; they sum to 1
    upward: NDArray[np.bool_]  # which of the bets win when the mean is above its interval

    @classmethod
    def of(cls, channel_weights: Floats) -> Mixture:
        """Spread each channel's weight over its bets, in the order channel, side (up, down), bet.

        >>> Mixture.of(np.array([1.0])).weights.sum()
        1.0
        """
        shares = channel_weights / channel_weights.sum()
        weights = np.repeat(shares / (2 * BETS), 2 * BETS)
        upward = np.tile(np.repeat([True, False], BETS), len(shares))
        return cls(weights=weights, upward=upward)

    def log_e(self, log_products: Floats) -> float:
        """Return the logarithm of the e-value whose bets' capitals are exp(*log_products*)."""
        return float(_log_sum(np.log(self.weights) + log_products))

    def is_up(self, log_products: Floats) -> bool:
        """Say whether the capital lies on the side of a mean above its interval."""
        logs = np.log(self.weights) + log_products
        return bool(_log_sum(logs[self.upward]) >= _log_sum(logs[~self.upward]))


def _log_sum(logs: Floats) -> np.float64:
    return np.float64(np.logaddexp.reduce(logs))
