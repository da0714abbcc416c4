"""Split-conformal bounds: how large an error of a fixed predictor is, on new data like the data at hand.

References
----------
Vovk, Gammerman, Shafer, "Algorithmic learning in a random world" (2005); Lei et al., "Distribution-free predictive
inference for regression", JASA 113 (2018): the split form and its finite-sample correction.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def conformal_quantile(errors: Floats, rate: float) -> float:
    """Return the bound that a new error exceeds with at most the chance *rate*; infinite where there are too few.

    *Assumptions*: the errors and the new one are exchangeable, and the predictor saw none of them.

    *Guarantee*: P(new error > bound) <= rate, over the draw of all of them, for every law and every number; where no
    two are equal, it is above rate - 1 / (n + 1) too.
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate is {rate}; wanted a chance between 0 and 1")
    place = math.ceil((len(errors) + 1) * (1 - rate) - 1e-9)
    if place > len(errors):
        return math.inf
    return float(np.partition(errors, place - 1)[place - 1])
