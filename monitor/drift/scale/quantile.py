"""The window's quantiles, for the kinds of signal that have no range of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Grid = Sequence[float] | Floats  # what a scale keeps of a baseline's window

QUANTILES: Floats = np.linspace(0.0, 1.0, 1001)
TAIL = 0.99


def quantile_grid(values: Floats) -> tuple[float, ...]:
    """Return the quantiles of *values* at QUANTILES."""
    return tuple(float(quantile) for quantile in np.quantile(values, QUANTILES))
