"""How far two measures of the same items go together, by their ranks within strata."""

from __future__ import annotations

from dataclasses import dataclass
from math import atanh, sqrt, tanh

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_PAIRS = 30  # fewer say nothing: the interval would span nearly everything
Z = 1.959964  # of a two-sided interval of 95%


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Spearman's coefficient within strata, with an interval of 95%."""

    estimate: float  # -1 to 1
    lower: float
    upper: float
    pairs: int


def rank_correlation(first: Floats, second: Floats, strata: NDArray[np.int64]) -> RankCorrelation | None:
    """Return how the ranks of (n,) *first* and *second* go together, both ranked within each of (n,) *strata*.

    None where there are fewer than `LEAST_PAIRS`, or where one of them is the same throughout each stratum. A
    stratum's level counts for nothing: where one kind of items is high in both, no correlation arises from it.

    Assumptions
    -----------
    Items are independent. Where they come in bursts the interval is too narrow.

    References
    ----------
    Bonett and Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations",
    Psychometrika 65 (2000): the variance of Fisher's z of Spearman's coefficient is (1 + r^2 / 2) / (n - 3).

    >>> rank_correlation(np.arange(40.0), np.arange(40.0) ** 3, np.zeros(40, np.int64)).estimate
    1.0
    """
    if len(first) < LEAST_PAIRS:
        return None
    x, y = (_centred_ranks(values, strata) for values in (first, second))
    scatter = float((x * x).sum()) * float((y * y).sum())
    if scatter <= 0.0:
        return None
    estimate = float(np.clip((x * y).sum() / sqrt(scatter), -1.0, 1.0))
    free = len(first) - len(np.unique(strata)) - 2  # n - 3 where there is one stratum
    if free < 1:
        return None
    middle = atanh(min(max(estimate, -0.999999), 0.999999))
    error = Z * sqrt((1.0 + estimate**2 / 2.0) / free)
    return RankCorrelation(
        estimate, min(tanh(middle - error), estimate), max(tanh(middle + error), estimate), len(first)
    )


def _centred_ranks(values: Floats, strata: NDArray[np.int64]) -> Floats:
    """Return ranks within strata, ties sharing theirs, as shares of the stratum less one half."""
    ranks = np.empty(len(values))
    for stratum in np.unique(strata):
        own = strata == stratum
        # By hand, since every command would wait for scipy.stats.
        _, place, tied = np.unique(values[own], return_inverse=True, return_counts=True)
        ranks[own] = (np.cumsum(tied) - (tied - 1) / 2.0)[place] / (own.sum() + 1.0) - 0.5
    return ranks
