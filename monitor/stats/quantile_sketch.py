"""Counts of values in bins of equal ratio, from which any quantile is read; sketches merge exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int16]
Counts = NDArray[np.int64]

ACCURACY = 0.01  # a quantile lies within this share of a value that was seen
LEAST, MOST = 1e-9, 1e12  # what is smaller counts as 0, what is larger as this
_RATIO = (1.0 + ACCURACY) / (1.0 - ACCURACY)
_STEP = float(np.log(_RATIO))
_FIRST = int(np.ceil(np.log(LEAST) / _STEP))


def codes_of(values: Floats) -> Codes:
    """Return each value's bin, a number that rises with the value: 0 for 0, below it for what is negative.

    References
    ----------
    Masson, Rim, Lee: DDSketch, a fast and fully-mergeable quantile sketch, VLDB 2019: bins of equal ratio.
    """
    size = np.clip(np.abs(values), 0.0, MOST)
    near = size < LEAST
    bins = np.ceil(np.log(np.where(near, 1.0, size)) / _STEP - 1e-12).astype(np.int64) - _FIRST + 1
    return (np.sign(values).astype(np.int64) * np.where(near, 0, bins)).astype(np.int16)


def values_of(codes: Codes) -> Floats:
    """Return for each bin the value that none in it is further from than `ACCURACY`."""
    bins = np.abs(codes.astype(np.int64)) + _FIRST - 1
    return np.asarray(np.sign(codes) * 2.0 * np.exp(bins * _STEP) / (_RATIO + 1.0), dtype=np.float64)


def merge(codes: Codes, counts: Counts) -> tuple[Codes, Counts]:
    """Return every bin once, in rising order, with the sum of its *counts*."""
    found, at = np.unique(codes, return_inverse=True)
    return found, np.bincount(at, weights=counts, minlength=len(found)).astype(np.int64)


def quantiles(codes: Codes, counts: Counts, shares: Sequence[float], *, low: float, high: float) -> list[float]:
    """Return the values below which *shares* of all lie.

    Parameters
    ----------
    codes, counts : arrays of one length, at least 1
        Bins in rising order, each once, as `merge` returns them.
    shares : sequence of float, in (0, 1]
    low, high : float
        The least and the largest value; their own bins are told exactly, so that of two values both are exact.

    Guarantee
    ---------
    Each is within `ACCURACY` of the value of that rank, whatever was merged in whatever order, between
    `LEAST` and `MOST`.
    """
    below = np.cumsum(counts)
    ranks = np.ceil(np.asarray(shares) * below[-1]).clip(1)
    chosen = np.searchsorted(below, ranks)
    told = np.clip(values_of(codes[chosen]), low, high)
    told = np.where(chosen == len(codes) - 1, high, told)
    return [float(value) for value in np.where(chosen == 0, low, told)]
