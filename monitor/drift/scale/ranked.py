"""The scale of any real number, whose unit says little by itself."""

from __future__ import annotations

import numpy as np

from monitor.domain.signal import Signal
from monitor.drift.scale.law import STEPS, WindowLaw
from monitor.drift.scale.measure import Measure
from monitor.drift.scale.quantile import QUANTILES, TAIL, Floats, quantile_grid
from monitor.drift.tolerance import Tolerance

# One for each channel: a mean says little of the tails, so the effect is told in what decided.
MEASURES = (Measure("percentiles", 0, 100.0), Measure("share above q1", 1), Measure("share above q99", 2))


LEAST = 0.01  # spreads of the window: the unit is the scorer's own, and may be anything
ONE_SPREAD = (0.16, 0.84)  # shares of a normal law below one spread from its mean


class RankedScale:
    """The residual's rank among the baseline's, and on which side of its 1% and 99% quantiles the value lies."""

    weights: tuple[float, ...] = (0.8, 0.1, 0.1)
    least_spread: float = 1e-9
    given_prompt: bool = True
    bet_ratio: float = 1.0

    def grid(self, values: Floats) -> tuple[float, ...]:
        return quantile_grid(values)

    def least(self, grid: Floats) -> float:
        low, high = np.interp(ONE_SPREAD, QUANTILES, grid)
        return LEAST * float(high - low) / 2.0

    def locate(self, values: Floats, grid: Floats) -> Floats:
        return np.clip(values, *self.bounds(grid))

    def channels(self, values: Floats, location: Floats, spread: Floats, law: WindowLaw) -> Floats:
        low, high = tails(law)
        residuals = (self.locate(values, law.grid) - location) / spread
        # Both tails are oriented as the values are: "down" on any channel means that the signal went down.
        return np.stack((law.rank(residuals), (values >= low).astype(float), (values > high).astype(float)), axis=1)

    def expected(self, location: Floats, spread: Floats, shift: Floats, law: WindowLaw) -> Floats:
        low, high = tails(law)
        moved = location + shift
        return np.stack(
            (
                np.interp(shift / spread, STEPS, law.mean_rank),
                1.0 - law.rank((low - moved) / spread),
                1.0 - law.rank((high - moved) / spread),
            ),
            axis=1,
        )

    def expected_value(self, location: Floats, spread: Floats, law: WindowLaw) -> Floats:
        return np.clip(location, *self.bounds(law.grid))

    def shift(self, tolerance: Tolerance, mean: Floats, spread: float) -> tuple[Floats, Floats]:
        accepted = np.maximum(tolerance.points * spread, tolerance.share * np.abs(mean))
        return accepted, accepted

    def bounds(self, grid: Floats) -> tuple[float, float]:
        low, high = float(grid[1]), float(grid[-2])
        spread = max(high - low, 1e-9)
        return low - spread, high + spread

    def beyond(self, least: Floats, law: WindowLaw) -> None:
        return None

    def unit(self, signal: Signal, scorer_version: str) -> str:
        return signal.unit

    def measure(self, unit: str, channel: int) -> Measure:
        return MEASURES[channel]


def tails(law: WindowLaw) -> tuple[float, float]:
    """Return the window's 1% and 99% quantiles."""
    low, high = np.interp((1.0 - TAIL, TAIL), QUANTILES, law.grid)
    return float(low), float(high)
