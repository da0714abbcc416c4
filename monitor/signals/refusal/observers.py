"""Both signals of refusals, from one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

from monitor.domain.signal import Observation, Signal
from monitor.domain.trace import Trace
from monitor.signals.refusal.learned import LearnedRefusal
from monitor.signals.refusal.reading import FULL_REFUSAL, REFUSAL, RefusalModel, RefusalReading

Reader = Callable[[Sequence[Trace]], Sequence[Observation | None]]


@cache
def learned_refusal() -> LearnedRefusal:
    """Return the model that is shipped; its file is read once."""
    return LearnedRefusal()


class RefusalObservers:
    """Reads a batch once, however many of the signals are on."""

    def __init__(self, model: Callable[[], RefusalModel]) -> None:
        """*model* is asked for when traces come: a file of weights is read by those alone who observe."""
        self._model = model
        self._last: tuple[Sequence[Trace], Sequence[RefusalReading | None]] | None = None

    def refusal(self, traces: Sequence[Trace]) -> list[Observation | None]:
        version = self._model().version
        return [
            None if seen is None else Observation(REFUSAL.name, version, seen.probability)
            for seen in self._read(traces)
        ]

    def full_refusal(self, traces: Sequence[Trace]) -> list[Observation | None]:
        version = self._model().version
        return [
            None if seen is None else Observation(FULL_REFUSAL.name, version, seen.full) for seen in self._read(traces)
        ]

    def _read(self, traces: Sequence[Trace]) -> Sequence[RefusalReading | None]:
        last = self._last  # taken once: another thread may read another batch meanwhile
        if last is None or last[0] is not traces:
            last = traces, self._model().read(traces)
            self._last = last
        return last[1]


def refusal_observers(model: Callable[[], RefusalModel] = learned_refusal) -> Mapping[Signal, Reader]:
    """Return what observes each signal of refusals by *model*."""
    observers = RefusalObservers(model)
    return {REFUSAL: observers.refusal, FULL_REFUSAL: observers.full_refusal}
