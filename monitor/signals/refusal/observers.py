"""Both signals of refusals, from one model that the settings choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from monitor.domain.signal import Observation, Signal
from monitor.domain.trace import Message, Trace
from monitor.signals.refusal.learned import LearnedRefusal
from monitor.signals.refusal.patterns import PatternRefusal
from monitor.signals.refusal.reading import FULL_REFUSAL, REFUSAL, RefusalModel, RefusalReading

LEARNED, BY_PATTERNS = "learned", "patterns"
LIKELY = 0.5
NO_TIME = datetime.min.replace(tzinfo=UTC)  # of a text that is no trace
Reader = Callable[[Sequence[Trace]], Sequence[Observation | None]]


@cache
def refusal_model(chosen: str = LEARNED) -> RefusalModel:
    """Return the model that `signals.refusal` names; raises `InvalidInput` for a file that holds no weights."""
    if chosen == BY_PATTERNS:
        return PatternRefusal()
    return LearnedRefusal() if chosen == LEARNED else LearnedRefusal(Path(chosen))


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


def refuses_by(chosen: str) -> Callable[[Sequence[Message], str], bool]:
    """Return what says of an answer to some messages that it more likely refuses than not, by the chosen model."""

    def refuses(messages: Sequence[Message], text: str) -> bool:
        asked = Trace("", NO_TIME, "", text, tuple(messages))
        reading = refusal_model(chosen).read([asked])[0]
        return reading is not None and reading.probability >= LIKELY

    return refuses


def uncovered_answers(chosen: str) -> Mapping[str, int]:
    """Return how many answers the chosen model could not read since the start, by language."""
    model = refusal_model(chosen)
    return dict(model.uncovered) if isinstance(model, LearnedRefusal) else {}
