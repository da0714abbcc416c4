"""The scale of a rate that few labels correct: its values leave 0 to 1 as far as a rare label counts."""

from __future__ import annotations

import numpy as np

from monitor.domain.signal import Signal
from monitor.drift.scale.law import WindowLaw
from monitor.drift.scale.measure import Measure
from monitor.drift.scale.quantile import Floats
from monitor.drift.tolerance import Tolerance

LEAST = 0.002  # a fifth of a point
SHORTEST_REACH = 1.0  # of a window whose every trace was labelled
BY_LENGTH = 0.5  # the most that a verdict's length-controlled form lies from it


class EstimateScale:
    """The value itself, moved to 0..1 from the reach of the window's values about 0.

    A value stands for the rate in its mean alone. Most are a guess near it; a trace that was labelled, one in
    twenty say, counts twenty times. Changes worth catching are small beside such values, so the bets are too.
    """

    weights: tuple[float, ...] = (1.0,)
    least_spread: float = 1e-9
    given_prompt: bool = False
    bet_ratio: float = 0.2

    def grid(self, values: Floats) -> tuple[float, ...]:
        reach = max(float(np.abs(values).max()), SHORTEST_REACH)
        return -reach, reach

    def least(self, grid: Floats) -> float:
        return LEAST

    def locate(self, values: Floats, grid: Floats) -> Floats:
        return np.asarray(values, dtype=np.float64)

    def channels(self, values: Floats, location: Floats, spread: Floats, law: WindowLaw) -> Floats:
        return self._scaled(values, law)

    def expected(self, location: Floats, spread: Floats, shift: Floats, law: WindowLaw) -> Floats:
        return self._scaled(location + shift, law)

    def expected_value(self, location: Floats, spread: Floats, law: WindowLaw) -> Floats:
        return location

    def shift(self, tolerance: Tolerance, mean: Floats, spread: float) -> tuple[Floats, Floats]:
        accepted = np.maximum(tolerance.points, tolerance.share * np.abs(mean))
        return accepted, accepted

    def bounds(self, grid: Floats) -> tuple[float, float]:
        return float(grid[0]), float(grid[-1])

    def beyond(self, least: Floats, law: WindowLaw) -> Floats:
        """Return how far outside of 0 to 1 a channel may lie where a label counts up to 1 / *least* times, (n,).

        A value then lies within that of 0, and what its length explains apart: the window may not have held such.
        """
        reach = law.grid[-1]
        return np.asarray(np.maximum(1.0 / least + BY_LENGTH - reach, 0.0) / (2.0 * reach))

    def unit(self, signal: Signal, scorer_version: str) -> str:
        return signal.unit

    def measure(self, unit: str, channel: int) -> Measure:
        return Measure(unit)

    def _scaled(self, values: Floats, law: WindowLaw) -> Floats:
        low, high = law.grid[0], law.grid[-1]
        return np.asarray(((values - low) / (high - low))[:, None])
