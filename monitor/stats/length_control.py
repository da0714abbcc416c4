"""How much longer one answer is than another, on the scale on which verdicts are cleared of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GAP_SPREAD = 0.5  # A log ratio beyond which more length hardly tells more: 1.6 times as many.
CENTRE = 0.5
PRIOR = 10.0  # verdicts' worth of "length says nothing", before any was seen
SLOPE_PRIOR = PRIOR * CENTRE**2  # the same, as what is added to the gaps' scatter
MOST_LENGTH = 0.5


def shortened(gap: Floats) -> Floats:
    """Return how much longer each answer is than its reference, -1 to 1; 0 where that is not known.

    *gap* (n,) is the log ratio of their lengths.
    """
    return np.asarray(np.tanh(np.nan_to_num(gap) / GAP_SPREAD))


def length_slope(weights: Floats, gap: Floats, value: Floats) -> float:
    """Return how much of a verdict a `shortened` gap explains: weighted least squares over (n,) labels.

    `PRIOR` labels' worth of "nothing" stand beside them: answers that are all longer by the same tell nothing of
    length.
    """
    centred = gap - np.average(gap, weights=weights)
    scatter = float((weights * centred**2).sum()) + SLOPE_PRIOR * float(weights.mean())
    slope = float((weights * centred * value).sum()) / scatter
    return float(np.clip(slope, -MOST_LENGTH, MOST_LENGTH))
