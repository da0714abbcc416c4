"""The scale of a signal that is 0 or 1."""

from __future__ import annotations

import numpy as np

from monitor.domain.signal import Signal
from monitor.drift.scale.law import WindowLaw
from monitor.drift.scale.measure import Measure
from monitor.drift.scale.quantile import Floats
from monitor.drift.tolerance import Tolerance

LEAST = 0.001  # a tenth of a point


class BinaryScale:
    """The value itself is bet on, against its cohort's rate: a rate given the prompt is too ill known for a bet."""

    weights: tuple[float, ...] = (1.0,)
    least_spread: float = 1e-9
    given_prompt: bool = False
    bet_ratio: float = 1.0

    def grid(self, values: Floats) -> tuple[float, ...]:
        return ()

    def least(self, grid: Floats) -> float:
        return LEAST

    def locate(self, values: Floats, grid: Floats) -> Floats:
        return np.clip(values, 0.0, 1.0)

    def channels(self, values: Floats, location: Floats, spread: Floats, law: WindowLaw) -> Floats:
        return np.clip(values, 0.0, 1.0)[:, None]

    def expected(self, location: Floats, spread: Floats, shift: Floats, law: WindowLaw) -> Floats:
        return np.asarray((location + shift)[:, None])

    def expected_value(self, location: Floats, spread: Floats, law: WindowLaw) -> Floats:
        return np.clip(location, 0.0, 1.0)

    def shift(self, tolerance: Tolerance, mean: Floats, spread: float) -> tuple[Floats, Floats]:
        accepted = np.maximum(tolerance.points, tolerance.share * mean)
        return accepted, accepted

    def bounds(self, grid: Floats) -> tuple[float, float]:
        return 0.0, 1.0

    def beyond(self, least: Floats, law: WindowLaw) -> None:
        return None

    def unit(self, signal: Signal, scorer_version: str) -> str:
        return signal.unit

    def measure(self, unit: str, channel: int) -> Measure:
        return Measure(unit)
