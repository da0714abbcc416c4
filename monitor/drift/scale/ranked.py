"""The scale of any real number, whose unit says little by itself."""

from __future__ import annotations

import numpy as np

from monitor.domain.signal import Signal
from monitor.drift.scale.measure import Measure
from monitor.drift.scale.quantile import QUANTILES, TAIL, Floats, Grid, quantile_grid

# One for each channel: a mean says little of the tails, so the effect is told in what decided.
MEASURES = (Measure("percentiles", 0, 100.0), Measure("share above q1", 1), Measure("share above q99", 2))


class RankedScale:
    """The rank in the baseline, and on which side of its 1% and 99% quantiles the value lies."""

    tolerance: tuple[float, ...] = (0.01, 0.002, 0.002)

    def grid(self, values: Floats) -> tuple[float, ...]:
        return quantile_grid(values)

    def channels(self, values: Floats, grid: Grid) -> Floats:
        below = np.searchsorted(grid, values, side="left")
        upto = np.searchsorted(grid, values, side="right")
        low, high = np.interp(1.0 - TAIL, QUANTILES, grid), np.interp(TAIL, QUANTILES, grid)
        # Both tails are oriented as the values are: "down" on any channel means that the signal went down.
        return np.stack(
            ((below + upto) / (2.0 * len(grid)), (values >= low).astype(float), (values > high).astype(float)), axis=1
        )

    def bounds(self, grid: Grid) -> tuple[float, float]:
        low, high = grid[1], grid[-2]
        spread = max(high - low, 1e-9)
        return low - spread, high + spread

    def unit(self, signal: Signal, scorer_version: str) -> str:
        return signal.unit

    def measure(self, unit: str, channel: int) -> Measure:
        return MEASURES[channel]
