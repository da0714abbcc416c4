"""What a fold asks of a detector, and which detectors there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from monitor.stats.edetector import Crossing, EDetector, Floats, Integers, NullIntervals, Threshold

DEFAULT = "e_detector"


class Evidence(Protocol):
    """What one stream's observations have come to so far; frozen."""

    def to_bytes(self) -> bytes: ...


class Detector(Protocol):
    """One stream's bets against its baseline; holds no state of its own."""

    @property
    def channels(self) -> tuple[float, ...]:
        """The weight of each channel in the evidence."""
        ...

    @property
    def tiers(self) -> int:
        """How many questions it answers, from the narrowest null interval to the widest."""
        ...

    def empty(self) -> Any:
        """Return the evidence before the first observation."""
        ...

    def load(self, data: bytes) -> Any:
        """Return the evidence that `to_bytes` wrote."""
        ...

    def log_e(self, evidence: Any) -> Floats:
        """Return the logarithm of each tier's evidence, (T,)."""
        ...

    def bets(self, channels: Floats, null: NullIntervals) -> Floats:
        """Return what each of n observations does to each component, (n, components): a row an observation.

        The components stand tier by tier, as many in each: their product over a day is that day's evidence.
        """
        ...

    def fold(
        self,
        evidence: Any,
        bets: Floats,
        *,
        places: Integers,
        stakes: Floats | None = None,
        thresholds: Sequence[Threshold] = (),
    ) -> tuple[Any, list[Crossing]]:
        """Carry *evidence* over the *bets* on observations at *places* (n,), in the log's order.

        *stakes* (n,) are those that were placed, 0 to 1; None: all. Where none is, the evidence stays as it is.
        Return it with the first crossing of each of *thresholds*, wherever the rows are cut into calls.
        """
        ...


class DetectorKind(Protocol):
    """Makes a stream's detector."""

    def __call__(self, channels: tuple[float, ...], tiers: int) -> Detector:
        """Follow channels of these weights, and so many tiers."""
        ...


# A baseline names the kind that follows each of its signals.
DETECTORS: Mapping[str, DetectorKind] = {
    "e_detector": EDetector,
}
