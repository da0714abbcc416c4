"""What a fold asks of a detector, and which detectors there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from monitor.stats.edetector import Crossing, EDetector, Floats, Integers, Threshold

DEFAULT = "e_detector"


class Evidence(Protocol):
    """What one stream's observations have come to so far; frozen."""

    @property
    def log_e(self) -> float: ...

    def to_bytes(self) -> bytes: ...


class Detector(Protocol):
    """One stream's bets against its baseline; holds no state of its own."""

    def empty(self) -> Any:
        """Return the evidence before the first observation."""
        ...

    def load(self, data: bytes) -> Any:
        """Return the evidence that `to_bytes` wrote."""
        ...

    def fold(
        self,
        evidence: Any,
        channels: Floats,
        strata: Integers,
        *,
        places: Integers,
        thresholds: Sequence[Threshold] = (),
    ) -> tuple[Any, list[Crossing]]:
        """Carry *evidence* over observations: channels (n, C), strata and places (n,), in the log's order.

        Return it with the first crossing of each of *thresholds*, wherever the rows are cut into calls.
        """
        ...


class DetectorKind(Protocol):
    """Makes a stream's detector of its baseline."""

    def __call__(self, lower: Floats, upper: Floats, sd: Floats) -> Detector:
        """Bet against the null interval [lower, upper] of strata by channels (S, C), whose values spread by *sd*."""
        ...


# A baseline names the kind that follows each of its signals.
DETECTORS: Mapping[str, DetectorKind] = {
    "e_detector": EDetector,
}
