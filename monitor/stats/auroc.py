"""How well a score tells two kinds apart: the area under the ROC curve.

References
----------
DeLong, DeLong, Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating characteristic
curves", Biometrics 44 (1988): the variance, by placement values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
_Z95 = 1.959963984540054
_MISS95 = 0.025


@dataclass(frozen=True, slots=True)
class Auroc:
    """The chance that one of the first kind scores above one of the second; equal scores count half."""

    value: float
    lower: float  # 95% interval
    upper: float


def auroc(first: Floats, second: Floats) -> Auroc | None:
    """Return the area for the scores of two kinds, None where one kind is absent.

    *Assumptions*: the scores are independent draws, each kind from its own law.

    *Guarantee*: the interval covers in 95% of draws as they grow; it is Wald's, by DeLong's variance, on the logit
    scale. Where the kinds lie wholly apart there is no variance to go by. Then the far bound is the chance by which so
    many of the rarer kind would show that once in forty times.
    """
    if not len(first) or not len(second):
        return None
    ranks = rankdata(np.concatenate([first, second]))
    own = (ranks[: len(first)] - rankdata(first)) / len(second)  # of each: the share of the other kind below it
    others = (ranks[len(first) :] - rankdata(second)) / len(first)
    value = float(own.mean())
    if value in {0.0, 1.0}:
        far = _MISS95 ** (1 / min(len(first), len(second)))
        return Auroc(value, far if value else 0.0, 1.0 if value else 1.0 - far)
    variance = _variance(own) + _variance(others)
    half = _Z95 * math.sqrt(variance) / (value * (1 - value))
    centre = math.log(value / (1 - value))
    return Auroc(value, _expit(centre - half), _expit(centre + half))


def _variance(placements: Floats) -> float:
    """Return the variance of the mean; of a single one the largest that a share can have."""
    return float(placements.var(ddof=1) / len(placements)) if len(placements) > 1 else 0.25


def _expit(value: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * value))
