"""The scale of a signal that is 0 or 1."""

from __future__ import annotations

import numpy as np

from monitor.domain.signal import Signal
from monitor.drift.scale.measure import Measure
from monitor.drift.scale.quantile import Floats, Grid


class BinaryScale:
    """The value itself is bet on."""

    tolerance: tuple[float, ...] = (0.002,)

    def grid(self, values: Floats) -> tuple[float, ...]:
        return ()

    def channels(self, values: Floats, grid: Grid) -> Floats:
        return np.clip(values, 0.0, 1.0)[:, None]

    def bounds(self, grid: Grid) -> tuple[float, float]:
        return 0.0, 1.0

    def unit(self, signal: Signal, scorer_version: str) -> str:
        return signal.unit

    def measure(self, unit: str, channel: int) -> Measure:
        return Measure(unit)
