"""Both signals of refusals, from one model that the settings choose."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

from monitor.domain.signal import Observation, Signal
from monitor.domain.trace import Trace
from monitor.signals.refusal.learned import LearnedRefusal
from monitor.signals.refusal.patterns import PatternRefusal
from monitor.signals.refusal.reader_process import ReaderProcess
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


class _Batch:
    """Traces that one model is reading, or has read."""

    def __init__(self, traces: Sequence[Trace], model: RefusalModel, process: ReaderProcess | None = None) -> None:
        self.version = model.version
        self._traces = traces
        self._places = {id(trace): place for place, trace in enumerate(traces)}
        self._end: Callable[[], Sequence[RefusalReading | None]] = partial(model.read, traces)
        if process is not None and isinstance(model, LearnedRefusal):
            self._end = model.begin(traces, partial(process.begin, model))
        self._readings: Sequence[RefusalReading | None] | None = None

    def holds(self, traces: Sequence[Trace]) -> bool:
        return traces is self._traces or all(id(trace) in self._places for trace in traces)

    def readings(self, traces: Sequence[Trace]) -> Iterator[RefusalReading | None]:
        if self._readings is None:
            self._readings = self._end()
        return (self._readings[self._places[id(trace)]] for trace in traces)


class RefusalObservers:
    """Reads a batch once, by one model, however many of the signals are on."""

    def __init__(self, model: Callable[[], RefusalModel], process: ReaderProcess | None = None) -> None:
        """*model* is asked for with each batch of traces: another one may be in its place by then.

        Where there is a *process*, a learned model's reading begins there with `begin`.
        """
        self._model, self._process = model, process
        self._last = threading.local()  # a batch is read in one thread, and another thread may read another

    def refusal(self, traces: Sequence[Trace]) -> list[Observation | None]:
        return self._observe(traces, REFUSAL, lambda reading: reading.probability)

    def full_refusal(self, traces: Sequence[Trace]) -> list[Observation | None]:
        return self._observe(traces, FULL_REFUSAL, lambda reading: reading.full)

    def begin(self, traces: Sequence[Trace]) -> None:
        """Begin to read *traces*: this thread is going to observe them, or some of them."""
        self._last.batch = _Batch(traces, self._model(), self._process)

    def _observe(
        self, traces: Sequence[Trace], signal: Signal, value: Callable[[RefusalReading], float]
    ) -> list[Observation | None]:
        batch: _Batch | None = getattr(self._last, "batch", None)
        if batch is None or not batch.holds(traces):
            batch = self._last.batch = _Batch(traces, self._model())
        return [
            None if seen is None else Observation(signal.name, batch.version, value(seen))
            for seen in batch.readings(traces)
        ]


def refusal_observers(chosen: str = LEARNED) -> Mapping[Signal, Reader]:
    """Return what observes each signal of refusals by the model that is *chosen*."""
    observers = RefusalObservers(lambda: refusal_model(chosen))
    return {REFUSAL: observers.refusal, FULL_REFUSAL: observers.full_refusal}


def uncovered_answers(model: RefusalModel) -> Mapping[str, int]:
    """Return how many answers *model* could not read since the start, by language."""
    return dict(model.uncovered) if isinstance(model, LearnedRefusal) else {}
