"""The scale of each kind of signal."""

from __future__ import annotations

from typing import Protocol

from monitor.domain.signal import Signal, SignalKind
from monitor.drift.scale.binary import BinaryScale
from monitor.drift.scale.length import LengthScale
from monitor.drift.scale.measure import Measure
from monitor.drift.scale.quantile import Floats, Grid
from monitor.drift.scale.ranked import RankedScale
from monitor.signals.table import SIGNALS


class Scale(Protocol):
    """How one kind of signal is bet on and told.

    A scale holds no state. What it must know of the baseline's window is the *grid* it made of the
    window's values, which is frozen with the baseline and given back to it.
    """

    tolerance: tuple[float, ...]  # per channel: the half width its null interval has however well its mean is known

    def grid(self, values: Floats) -> tuple[float, ...]:
        """Return what `channels` and `bounds` need of the window's *values*; () for nothing."""
        ...

    def channels(self, values: Floats, grid: Grid) -> Floats:
        """Map (n,) values to (n, C) channels in [0, 1], each rising with the value."""
        ...

    def bounds(self, grid: Grid) -> tuple[float, float]:
        """Return the range in which means are taken; values outside count as its ends."""
        ...

    def unit(self, signal: Signal, scorer_version: str) -> str:
        """Return the unit of *signal*'s values under *scorer_version*."""
        ...

    def measure(self, unit: str, channel: int) -> Measure:
        """Say what the effect is measured on where *channel* decided and the values have *unit*."""
        ...


SCALES: dict[SignalKind, Scale] = {
    SignalKind.BINARY: BinaryScale(),
    SignalKind.LENGTH: LengthScale(),
    SignalKind.RANKED: RankedScale(),
}


def scale_of(signal: str) -> Scale:
    return SCALES[SIGNALS[signal].kind]
