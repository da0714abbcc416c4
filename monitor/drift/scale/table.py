"""The scale of each kind of signal."""

from __future__ import annotations

from typing import Protocol

from monitor.domain.signal import Signal, SignalKind
from monitor.drift.scale.binary import BinaryScale
from monitor.drift.scale.estimate import EstimateScale
from monitor.drift.scale.law import Floats, WindowLaw
from monitor.drift.scale.length import LengthScale
from monitor.drift.scale.measure import Measure
from monitor.drift.scale.ranked import RankedScale
from monitor.drift.tolerance import Tolerance


class Scale(Protocol):
    """How one kind of signal is bet on and told.

    A value is *located* on an axis on which a prompt moves it by adding (for a length its logarithm). Given
    the location and the spread expected there, it is bet on in *channels* between 0 and 1. A scale holds no
    state: what it must know of the window is frozen with the baseline and given back to it.
    """

    weights: tuple[float, ...]  # of the channels, in the evidence
    least_spread: float  # on the axis: a window more regular than this could not tell a small change from a large one
    given_prompt: bool  # False: bet on against the cohort's mean, whatever was asked
    bet_ratio: float  # of the usual bets, in spreads: less where a change worth catching is small beside one value

    def grid(self, values: Floats) -> tuple[float, ...]:
        """Return what the scale keeps of the window's *values*; () for nothing."""
        ...

    def least(self, grid: Floats) -> float:
        """Return the smallest change that is told at all, on the axis."""
        ...

    def locate(self, values: Floats, grid: Floats) -> Floats:
        """Return where (n,) values lie on the axis."""
        ...

    def channels(self, values: Floats, location: Floats, spread: Floats, law: WindowLaw) -> Floats:
        """Map (n,) values to (n, C) channels in [0, 1], each rising with the value."""
        ...

    def expected(self, location: Floats, spread: Floats, shift: Floats, law: WindowLaw) -> Floats:
        """Return the mean (n, C) of the channels if each value's location were *shift* (n,) away from *location*."""
        ...

    def expected_value(self, location: Floats, spread: Floats, law: WindowLaw) -> Floats:
        """Return the mean (n,) of the values themselves, within their bounds."""
        ...

    def shift(self, tolerance: Tolerance, mean: Floats, spread: float) -> tuple[Floats, Floats]:
        """Return how far up and down, on the axis, *tolerance* lets values with this *mean* and *spread* move."""
        ...

    def bounds(self, grid: Floats) -> tuple[float, float]:
        """Return the range in which means are taken; values outside count as its ends."""
        ...

    def beyond(self, least: Floats, law: WindowLaw) -> Floats | None:
        """Return how far outside of 0 to 1 the channels of n values may lie; None where they never do.

        *least* (n,) is the least probability with which any of them could have been selected to be known.
        """
        ...

    def unit(self, signal: Signal, scorer_version: str) -> str:
        """Return the unit of *signal*'s values under *scorer_version*."""
        ...

    def measure(self, unit: str, channel: int) -> Measure:
        """Say what the effect is measured on where *channel* decided and the values have *unit*."""
        ...


SCALES: dict[SignalKind, Scale] = {
    SignalKind.BINARY: BinaryScale(),
    SignalKind.PROBABILITY: BinaryScale(),
    SignalKind.ESTIMATE: EstimateScale(),
    SignalKind.LENGTH: LengthScale(),
    SignalKind.RANKED: RankedScale(),
}


def scale_of(kind: SignalKind) -> Scale:
    return SCALES[kind]
