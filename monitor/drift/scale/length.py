"""The scale of a count with a heavy tail."""

from __future__ import annotations

import numpy as np

from monitor.domain.signal import Signal
from monitor.domain.trace import TokenSource
from monitor.drift.scale.law import STEPS, WindowLaw, within_reach
from monitor.drift.scale.measure import Measure
from monitor.drift.scale.quantile import QUANTILES, TAIL, Floats, quantile_grid
from monitor.drift.tolerance import Tolerance

LEAST = 0.002  # of a length, as a share of it


class LengthScale:
    """Residual of the logarithm, scaled length, and whether it lies in the upper 1%: a tail barely moves the mean."""

    weights: tuple[float, ...] = (0.8, 0.1, 0.1)
    least_spread: float = 0.1  # about what is accepted: a change is seen up to two spreads
    given_prompt: bool = True
    bet_ratio: float = 1.0

    def grid(self, values: Floats) -> tuple[float, ...]:
        return quantile_grid(values)

    def least(self, grid: Floats) -> float:
        return LEAST

    def locate(self, values: Floats, grid: Floats) -> Floats:
        return np.asarray(np.log1p(np.maximum(values, 0.0)))

    def channels(self, values: Floats, location: Floats, spread: Floats, law: WindowLaw) -> Floats:
        return np.stack(
            (
                within_reach((self.locate(values, law.grid) - location) / spread),
                np.clip(values / _ceiling(law), 0.0, 1.0),
                (values > _tail(law)).astype(float),
            ),
            axis=1,
        )

    def expected(self, location: Floats, spread: Floats, shift: Floats, law: WindowLaw) -> Floats:
        moved = location + shift
        lengths = np.expm1(np.minimum(moved[:, None] + spread[:, None] * law.nodes, 30.0))
        return np.stack(
            (
                np.interp(shift / spread, STEPS, law.mean_reach),
                np.clip(lengths / _ceiling(law), 0.0, 1.0).mean(axis=1),
                1.0 - law.rank((np.log1p(_tail(law)) - moved) / spread),
            ),
            axis=1,
        )

    def expected_value(self, location: Floats, spread: Floats, law: WindowLaw) -> Floats:
        lengths = np.expm1(np.minimum(location[:, None] + spread[:, None] * law.nodes, 30.0))
        return np.asarray(np.clip(lengths, *self.bounds(law.grid)).mean(axis=1))

    def shift(self, tolerance: Tolerance, mean: Floats, spread: float) -> tuple[Floats, Floats]:
        share = np.maximum(tolerance.share, tolerance.points / np.maximum(mean, 1.0))
        return np.log1p(share), -np.log1p(-np.minimum(share, 0.95))

    def bounds(self, grid: Floats) -> tuple[float, float]:
        return 0.0, max(2.0 * float(grid[-2]), 1.0)

    def beyond(self, least: Floats, law: WindowLaw) -> None:
        return None

    def unit(self, signal: Signal, scorer_version: str) -> str:
        return "words" if scorer_version == TokenSource.WORDS else signal.unit

    def measure(self, unit: str, channel: int) -> Measure:
        return Measure(unit)


def _ceiling(law: WindowLaw) -> float:
    return max(float(law.grid[-2]), 1.0)


def _tail(law: WindowLaw) -> float:
    return float(np.interp(TAIL, QUANTILES, law.grid))
