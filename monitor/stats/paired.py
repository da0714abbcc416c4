"""An anytime-valid test of bounded paired differences: beyond a tolerance, within it, or not known yet.

References
----------
Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting",
arXiv 2010.09686, section 4: capital processes and their mixtures.
Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24 (1982):
the intersection-union test, by which "within" asks it of every channel at no loss of level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from monitor.stats.confseq import Interval, mean_interval

Floats = NDArray[np.float64]

STAKES: Floats = np.geomspace(0.1, 1.0, 5)  # of the largest stake allowed
LOSS_LIMIT = 0.9  # the share of its capital that a bet may lose on one pair
OTHER_SIDE = 2.0  # tolerances against the direction asked about, within which "within" is
ALONG = 0.9  # share of the first capital that is bet on a difference in the direction asked about


class Finding(StrEnum):
    BEYOND = "beyond"  # the mean difference is larger than the tolerance, on either side
    WITHIN = "within"  # it is smaller; against the direction asked about, smaller than `OTHER_SIDE` tolerances
    OPEN = "open"  # neither is known yet


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to measure the difference of a pair, and how much of it nobody minds.

    `differences` (n,) lie in [-limit, limit]; NaN where a pair could not be had.
    """

    differences: Floats
    limit: float
    tolerance: float  # 0 <= tolerance < limit
    weight: float = 1.0  # of what is bet on "beyond"; relative to the other channels'


@dataclass(frozen=True, slots=True)
class Judgement:
    finding: Finding
    pairs: int  # read until it was found, or all of them
    log_beyond: float  # the largest log e-value of each claim so far; log(1/alpha) decides
    log_within: float


def judge_pairs(
    channels: Sequence[Channel], *, up: bool, alpha: float, chosen: NDArray[np.bool_], log_choices: float = 0.0
) -> Judgement:
    """Say whether the pairs, read in their order, differ by more than the tolerance.

    Parameters
    ----------
    channels : measures of the same n pairs; "beyond" is found on any, "within" must be found on all.
    up : the direction asked about.
    alpha : the probability of each error.
    chosen : (n,), True for a pair whose first member had its part in choosing it: it belongs to the
        very window that raised an alarm.
    log_choices : the log of how many windows could have been chosen.

    Assumptions
    -----------
    Given those before it, each pair that was not *chosen* has the mean difference of its prompt,
    and that a pair could not be had may depend on its answers in any way: it counts against both claims.

    Guarantee
    ---------
    Where the conditional means stay within the tolerance, P(ever BEYOND) <= alpha; where they stay past the ends
    of WITHIN on one channel and side, P(ever WITHIN) <= alpha; at any stopping time. Chosen pairs lean in the
    alarm's direction. Towards BEYOND they therefore pay for the choice of their window among all that there were
    (half the capital is never bet on them), towards WITHIN they count as they are, since they lean against it.
    """
    if not len(chosen):
        return Judgement(Finding.OPEN, 0, 0.0, 0.0)
    total = sum(channel.weight for channel in channels)
    beyond = []
    for channel in channels:
        for side, share in ((up, ALONG), (not up, 1.0 - ALONG)):
            gains = _gains(channel, above=side, boundary=channel.tolerance if side else -channel.tolerance)
            fresh = _capital(np.where(chosen[:, None], 0.0, gains))
            leaning = _capital(np.where(chosen[:, None], gains, 0.0)) - log_choices
            handicapped = np.logaddexp(0.0, leaning) - np.log(2.0) if chosen.any() else 0.0
            beyond.append(fresh + handicapped + np.log(share * channel.weight / total))
    ends = [(not up, 1.0 if up else -1.0), (up, -OTHER_SIDE if up else OTHER_SIDE)]
    within = [
        _capital(_gains(channel, above=above, boundary=times * channel.tolerance))
        for channel in channels
        for above, times in ends
        if abs(times) * channel.tolerance < channel.limit
    ]
    against = np.maximum.accumulate(np.logaddexp.reduce(beyond, axis=0))
    # Each channel and side may have been proven at a time of its own.
    for_ = np.min([np.maximum.accumulate(capital) for capital in within], axis=0)
    decided = np.flatnonzero(np.maximum(against, for_) >= np.log(1.0 / alpha))
    if not len(decided):
        return Judgement(Finding.OPEN, len(chosen), float(against[-1]), float(for_[-1]))
    at = int(decided[0])
    finding = Finding.BEYOND if against[at] >= np.log(1.0 / alpha) else Finding.WITHIN
    return Judgement(finding, at + 1, float(against[at]), float(for_[at]))


def difference_interval(channel: Channel, *, alpha: float = 0.05) -> Interval:
    """Return the confidence sequence for the mean difference, of the pairs that could be had."""
    seen = channel.differences[np.isfinite(channel.differences)]
    width = 2.0 * channel.limit
    spread = float(seen.std()) / width if len(seen) > 1 else 0.5
    inner = mean_interval((seen + channel.limit) / width, sd=max(spread, 0.01), alpha=alpha)
    return Interval(inner.lower * width - channel.limit, inner.upper * width - channel.limit)


def _gains(channel: Channel, *, above: bool, boundary: float) -> Floats:
    """Return the log growth (n, bets) of bets that the mean lies *above* (or below) *boundary*."""
    sign = 1.0 if above else -1.0
    missing = np.where(np.isfinite(channel.differences), channel.differences, -sign * channel.limit)
    stakes = STAKES * LOSS_LIMIT / (channel.limit + sign * boundary)
    return np.asarray(np.log1p(stakes * sign * (missing - boundary)[:, None]))


def _capital(gains: Floats) -> Floats:
    """Return the log of the mean capital over the bets after each pair, (n,)."""
    return np.asarray(np.logaddexp.reduce(np.cumsum(gains, axis=0), axis=1) - np.log(gains.shape[1]))
