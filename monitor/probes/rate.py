"""Rates of probes, with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

_NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Rate:
    """The mean of a suite's outcomes; of sycophancy one half is "not swayed"."""

    outcomes: int
    value: float
    lower: float  # 95%, Wilson's
    upper: float


def rate_of(total: float, outcomes: int) -> Rate | None:
    """Return the rate of *outcomes* whose values, 0 to 1, sum to *total*; None where there are none.

    Values between 0 and 1 spread less than zeros and ones with their mean, so the interval is then wider than it must.
    Same items asked again are not independent: over several runs it says how well the drawn items' mean is known.
    """
    if not outcomes:
        return None
    mean, z2 = total / outcomes, _NORMAL_95**2
    centre = (mean + z2 / (2 * outcomes)) / (1 + z2 / outcomes)
    half = _NORMAL_95 * sqrt(max(mean * (1 - mean), 0.0) / outcomes + z2 / (4 * outcomes**2)) / (1 + z2 / outcomes)
    return Rate(outcomes, mean, max(centre - half, 0.0), min(centre + half, 1.0))
