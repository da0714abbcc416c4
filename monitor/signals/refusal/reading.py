"""What is read of an answer that may refuse, and who reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from monitor.domain.signal import Signal, SignalKind
from monitor.domain.trace import Trace

REFUSAL = Signal(
    "refusal", SignalKind.PROBABILITY, "ratio", "how surely the answer declines what it was asked", of_texts=True
)
FULL_REFUSAL = Signal(
    "full_refusal", SignalKind.PROBABILITY, "ratio", "how surely it declines all that it was asked", of_texts=True
)
REFUSAL_JUDGED = Signal(
    "refusal_judged",
    SignalKind.PROBABILITY,
    "ratio",
    "whether a judge says so, on a share of the answers",
    of_texts=True,
)


class RefusalReading(Struct, frozen=True, gc=False):
    """How surely an answer refuses."""

    probability: float  # that it refuses, in full or in part
    full: float  # that it refuses in full; at most `probability`


NO_REFUSAL = RefusalReading(0.0, 0.0)


class RefusalModel(Protocol):
    """Reads answers together with what was asked; may be asked from many threads."""

    version: str  # of the series: readings of two versions do not compare

    def read(self, traces: Sequence[Trace]) -> Sequence[RefusalReading | None]:
        """Return a reading for each trace; None where there is nothing to judge, or not in a language it knows."""
        ...
