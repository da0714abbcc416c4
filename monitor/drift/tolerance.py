"""How large a change anybody accepts, in the operator's unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.domain.signal import Signal, SignalKind
from monitor.signals.refusal import FULL_REFUSAL, REFUSAL, REFUSAL_JUDGED


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The larger of two: a share of what the signal was, and an absolute change.

    `points` are in the signal's own unit for a rate or an estimate of one (0.01 is one point) and in the spread of the
    baseline's values for a signal that is ranked.
    """

    share: float = 0.0
    points: float = 0.0


DEFAULTS: Mapping[SignalKind, Tolerance] = {
    SignalKind.LENGTH: Tolerance(share=0.10),
    SignalKind.BINARY: Tolerance(share=1.0 / 3.0, points=0.01),
    SignalKind.PROBABILITY: Tolerance(points=0.02),
    SignalKind.ESTIMATE: Tolerance(points=0.02),
    SignalKind.RANKED: Tolerance(points=0.10),
}
# What an operator minds about these is not what their kind says: a rate near zero has a tolerance of its own.
OF_SIGNALS: Mapping[str, Tolerance] = {
    signal.name: DEFAULTS[SignalKind.BINARY] for signal in (REFUSAL, FULL_REFUSAL, REFUSAL_JUDGED)
}


def tolerance_of(signal: Signal, chosen: Mapping[str, Tolerance] | None) -> Tolerance:
    """Return what *chosen* says of *signal*, or its own default, or its kind's."""
    return (chosen or {}).get(signal.name) or OF_SIGNALS.get(signal.name) or DEFAULTS[signal.kind]
