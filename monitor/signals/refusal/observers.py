"""Both signals of refusals, from one model that the settings choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from monitor.domain.signal import Observation, Signal
from monitor.domain.trace import Trace
from monitor.signals.refusal.learned import LearnedRefusal
from monitor.signals.refusal.patterns import PatternRefusal
from monitor.signals.refusal.reading import FULL_REFUSAL, REFUSAL, RefusalModel, RefusalReading
from monitor.signals.refusal.weights import SHIPPED

LEARNED, BY_PATTERNS = "learned", "patterns"
Reader = Callable[[Sequence[Trace]], Sequence[Observation | None]]


@cache
def refusal_model(chosen: str = LEARNED) -> RefusalModel:
    """Return the model that is named, or lies in a file; raises `InvalidInput` for one that holds no weights."""
    file = weights_file(chosen)
    return PatternRefusal() if file is None else LearnedRefusal(file)


def weights_file(chosen: str) -> Path | None:
    """Return the file whose weights the model that is named reads by; None for patterns."""
    return None if chosen == BY_PATTERNS else SHIPPED if chosen == LEARNED else Path(chosen)


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


def refusal_observers(chosen: str = LEARNED) -> Mapping[Signal, Reader]:
    """Return what observes each signal of refusals by the model that is *chosen*."""
    observers = RefusalObservers(lambda: refusal_model(chosen))
    return {REFUSAL: observers.refusal, FULL_REFUSAL: observers.full_refusal}


def uncovered_answers(model: RefusalModel) -> Mapping[str, int]:
    """Return how many answers *model* could not read since the start, by language."""
    return dict(model.uncovered) if isinstance(model, LearnedRefusal) else {}
