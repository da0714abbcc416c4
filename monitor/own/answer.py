"""What a user's own signal answers: a number, nothing, or that it failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace
from monitor.own.failures import Failures

LARGEST = 1e9  # as of every number of a trace
RANGES = {
    SignalKind.BINARY: (0.0, 1.0),
    SignalKind.PROBABILITY: (0.0, 1.0),
    SignalKind.LENGTH: (0.0, LARGEST),
}


class Failed(Struct, frozen=True, gc=False):
    """Why a trace has no value though the signal was asked for one; never a text of the trace."""

    why: str


Answer = float | Failed | None  # None: the trace says nothing about the signal
BatchRead = Callable[[Sequence[Trace]], Sequence[Answer]]


def number_of(said: Any, kind: SignalKind) -> Answer:
    """Return what was *said* as a value of *kind*; bools are 0 and 1."""
    if said is None:
        return None
    if not isinstance(said, bool | int | float):
        return Failed(f"a {type(said).__name__} is no number")
    if not -LARGEST <= said <= LARGEST:  # NaN is neither
        return Failed("a number that is not finite, or beyond 1e9")
    value = float(said)
    low, high = RANGES.get(kind, (-LARGEST, LARGEST))
    if not low <= value <= high or (kind is SignalKind.BINARY and value not in {0.0, 1.0}):
        return Failed(f"a number that no {kind} value is")
    return value


class OwnObserver:
    """An observer of a user's own making: what fails is counted and named, and is no observation."""

    def __init__(self, signal: Signal, version: str, read: BatchRead, failures: Failures) -> None:
        self._signal, self._version, self._read, self._failures = signal, version, read, failures

    def __call__(self, traces: Sequence[Trace]) -> list[Observation | None]:
        name = self._signal.name
        try:
            answers = self._read(traces)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, traces are stored without the signal
            self._failures.add(name, f"it raised {type(error).__name__}", len(traces))
            return [None] * len(traces)
        seen: list[Observation | None] = []
        for answer in answers:
            if isinstance(answer, Failed):
                self._failures.add(name, answer.why)
            known = isinstance(answer, float)
            seen.append(Observation(name, self._version, answer) if known else None)  # type: ignore[arg-type]
        return seen


def each(read: Callable[[Trace], Any], kind: SignalKind) -> BatchRead:
    """Return *read*, a function of one trace, as one of many: where it raises, that trace alone has no value."""

    def one(trace: Trace) -> Answer:
        try:
            return number_of(read(trace), kind)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the function is the operator's own
            return Failed(f"it raised {type(error).__name__}")

    return lambda traces: [one(trace) for trace in traces]
