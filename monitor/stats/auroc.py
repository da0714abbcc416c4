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
    own, others = _placements(first, second)
    value = float(own.mean())
    if value in {0.0, 1.0}:
        far = _MISS95 ** (1 / min(len(first), len(second)))
        return Auroc(value, far if value else 0.0, 1.0 if value else 1.0 - far)
    variance = _variance(own) + _variance(others)
    half = _Z95 * math.sqrt(variance) / (value * (1 - value))
    centre = math.log(value / (1 - value))
    return Auroc(value, _expit(centre - half), _expit(centre + half))


def auroc_difference(
    candidate: tuple[Floats, Floats], champion: tuple[Floats, Floats]
) -> tuple[float, float, float, float, float]:
    """Return both areas of two scores on the same items of two kinds, and the 95% interval of their difference.

    They are the candidate's, the champion's, the difference, its lower and its upper bound. *Assumptions*, *Guarantee*:
    as `auroc`, on the plain scale; items are taken in pairs. Scores that rank all items alike have no width.
    """
    first, second = (_placements(*scores) for scores in (candidate, champion))
    areas = [float(own.mean()) for own, _ in (first, second)]
    variance = sum(_variance(mine - theirs) for mine, theirs in zip(first, second, strict=True))
    difference, half = areas[0] - areas[1], _Z95 * math.sqrt(variance)
    return areas[0], areas[1], difference, difference - half, difference + half


def _placements(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Return of each of *first* the share of *second* below it, and of each of *second* that of *first* above it."""
    ranks = rankdata(np.concatenate([first, second]))
    return (
        (ranks[: len(first)] - rankdata(first)) / len(second),
        1.0 - (ranks[len(first) :] - rankdata(second)) / len(first),
    )


def _variance(placements: Floats) -> float:
    """Return the variance of the mean; of a single one the largest that a share can have."""
    return float(placements.var(ddof=1) / len(placements)) if len(placements) > 1 else 0.25


def _expit(value: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * value))
