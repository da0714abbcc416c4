"""The scale of a count with a heavy tail."""

from __future__ import annotations

import numpy as np

from monitor.domain.signal import Signal
from monitor.domain.trace import TokenSource
from monitor.drift.scale.measure import Measure
from monitor.drift.scale.quantile import QUANTILES, TAIL, Floats, Grid, quantile_grid


class LengthScale:
    """Scaled logarithm, scaled length, and whether it lies in the upper 1%: a runaway tail barely moves the mean."""

    tolerance: tuple[float, ...] = (0.005, 0.005, 0.002)

    def grid(self, values: Floats) -> tuple[float, ...]:
        return quantile_grid(values)

    def channels(self, values: Floats, grid: Grid) -> Floats:
        low, high = np.log1p(grid[1]), np.log1p(grid[-2])
        span = max(high - low, 1e-9)
        tail = np.interp(TAIL, QUANTILES, grid)
        return np.stack(
            (
                np.clip((np.log1p(values) - low) / span, 0.0, 1.0),
                np.clip(values / max(grid[-2], 1.0), 0.0, 1.0),
                (values > tail).astype(float),
            ),
            axis=1,
        )

    def bounds(self, grid: Grid) -> tuple[float, float]:
        return 0.0, max(2.0 * grid[-2], 1.0)

    def unit(self, signal: Signal, scorer_version: str) -> str:
        return "words" if scorer_version == TokenSource.WORDS else signal.unit

    def measure(self, unit: str, channel: int) -> Measure:
        return Measure(unit)
