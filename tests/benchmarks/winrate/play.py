"""Playing verdicts and opinions through blocks, laws and the fold, as the program does, beside labels alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Severity
from monitor.domain.cohort import ALL
from monitor.domain.label import Label
from monitor.domain.observation import (
    LogEntry,
    ObservationBatch,
    PlacedEntry,
    Series,
    Source,
    SubjectRef,
    Subjects,
    SubjectWindow,
    micros_of,
)
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline, SignalBaseline
from monitor.drift.fold import Fold, FoldRules
from monitor.drift.freeze import NullRule, build_signal_baseline
from monitor.drift.late import LateLaws
from monitor.drift.log import Excerpt, LabelSpan, windows_of
from monitor.drift.stream import Decision
from monitor.labels.block import BlockRule
from monitor.labels.keeper import BlockKeeper
from monitor.offline.blocks import InMemoryBlocks
from monitor.offline.log import InMemoryLog
from monitor.signals.estimand import REWARD_WIN, WIN_RATE, Estimand

Floats = NDArray[np.float64]
START = datetime(2026, 3, 1, tzinfo=UTC)
ENTRY = 1000
ALONE = "labels alone"
LEAST_LABELS = 30  # of the window


@dataclass(frozen=True, slots=True)
class World:
    """Traces in order: what the reward models think of each, what a person would say, and who is asked."""

    cheap: Floats
    verdict: Floats
    probability: Floats
    least: float
    selected: NDArray[np.bool_]


def logged(world: World) -> tuple[InMemoryLog, list[Label]]:
    """Return the log as workers would have written it, and the labels."""
    log = InMemoryLog()
    for first in range(0, len(world.cheap), ENTRY):
        part = slice(first, first + ENTRY)
        size = len(world.cheap[part])
        one = np.zeros(size, np.int32), np.arange(size, dtype=np.int64)
        drawn = Series(WIN_RATE.selected, "policy", repr(world.least))
        subjects = Subjects(
            ids=tuple(f"t-{first + number}" for number in range(size)),
            timestamps=micros_of([START + timedelta(seconds=first + number) for number in range(size)]),
        )
        batches = (
            ObservationBatch(Series(REWARD_WIN.name, "policy", "scorer"), ("all",), *one, world.cheap[part]),
            ObservationBatch(drawn, ("all",), *one, world.selected[part].astype(np.float64), world.probability[part]),
        )
        log.append(LogEntry(Source.TRACES, subjects, batches))
    labels = [
        Label(f"l-{row}", START + timedelta(seconds=int(row)), f"t-{row}", WIN_RATE.kind, value, "a")
        for row, value in zip(np.flatnonzero(world.selected), world.verdict[world.selected].tolist(), strict=True)
    ]
    return log, labels


@dataclass(slots=True)
class Window:
    """The log as it was when its window's labels had been counted."""

    log: InMemoryLog
    span: LabelSpan

    def label_span(self, estimand: Estimand, place: int) -> LabelSpan | None:
        return self.span if estimand is WIN_RATE else None

    def window(self, start: int, stop: int, signals: Collection[str] | None = None) -> list[ObservationBatch]:
        return self.log.window(start, stop, signals)

    def subjects(self, start: int, stop: int) -> SubjectWindow:
        return self.log.subjects(start, stop)

    def excerpt(self, stream: StreamKey, start: int, stop: int) -> Excerpt:
        return self.log.excerpt(stream, start, stop)

    def locate(self, places: Sequence[int]) -> list[SubjectRef]:
        return self.log.locate(places)


def with_labels_alone(entry: PlacedEntry) -> PlacedEntry:
    """Return *entry* with its verdicts as a stream of their own, judged as any share is."""
    alone = [
        replace(batch, series=replace(batch.series, signal=REWARD_WIN.name, scorer_version=ALONE), inclusion=None)
        for batch in entry.observations
        if batch.series.signal == WIN_RATE.labelled
    ]
    return replace(entry, observations=(*entry.observations, *alone))


def laws_of(log: InMemoryLog, counted: Sequence[PlacedEntry], span: LabelSpan, *, window: int) -> list[SignalBaseline]:
    """Freeze what the first *window* traces and their labels tell, by *span* of the log."""
    laws = LateLaws(NullRule(), least_labels=LEAST_LABELS).of(Baseline(0, 0, ()), Window(log, span))
    alone = [batch.between(0, span.stop_place) for entry in counted for batch in entry.observations]
    alone = [batch for batch in alone if batch.series.scorer_version == ALONE]
    opinions = log.window(0, window, {REWARD_WIN.name})
    for batches, since in ((alone, span.stop_place), (opinions, window)):
        for found in windows_of(batches, {REWARD_WIN.name}):
            law = build_signal_baseline(found, NullRule(), None)
            laws += [] if law is None else [replace(law, since=since)]
    return laws


def alarms_of(world: World, rules: FoldRules, *, window: int, block: int = 64) -> dict[str, dict[Severity, int]]:
    """Return each roll-up's first alarm of each severity, as the number of its trace; the first *window* are frozen."""
    log, labels = logged(world)
    store = InMemoryBlocks(log, labels)
    BlockKeeper(store, BlockRule(traces=block)).finish([WIN_RATE], end=log.end.next_place)
    span = log.label_span(WIN_RATE, 0)
    assert span is not None
    settled = store.settled[WIN_RATE.name]
    stop = span.first_place + sum(len(row.items) for row in settled if row.block.stop_place <= window)
    entries = [with_labels_alone(entry) if entry.source is Source.LABELS else entry for entry in log.records]
    fold = Fold(Baseline(0, 0, tuple(laws_of(log, entries, replace(span, stop_place=stop), window=window))), rules)
    told: dict[str, dict[Severity, int]] = {}
    for entry in entries:
        for outcome in fold.add(entry):
            if isinstance(outcome, Decision) and outcome.stream.cohort == ALL:
                name = ALONE if outcome.stream.scorer_version == ALONE else outcome.stream.signal
                [seen] = log.locate([outcome.place])
                told.setdefault(name, {}).setdefault(outcome.severity, int((seen.subject_id or "").removeprefix("t-")))
    return told
