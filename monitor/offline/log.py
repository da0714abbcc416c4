"""The log of observations in memory, for one pass over files."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from monitor.domain.observation import (
    LogEnd,
    LogEntry,
    ObservationBatch,
    PlacedEntry,
    Source,
    SubjectRef,
    SubjectWindow,
    moment_of,
)
from monitor.domain.stream import StreamKey
from monitor.drift.log import Excerpt, LabelSpan, excerpt_of
from monitor.drift.stored import FoldPosition
from monitor.signals.estimand import ESTIMANDS, Estimand


@dataclass(slots=True)
class InMemoryLog:
    """Entries placed as they are appended; what `drift.log.LabelLog` asks for."""

    records: list[PlacedEntry] = field(default_factory=list)
    _ids: list[str | None] = field(default_factory=list)
    _micros: list[int] = field(default_factory=list)
    _traces: list[int] = field(default_factory=list)  # the places of traces
    _spans: dict[str, LabelSpan] = field(default_factory=dict)  # of all entries of labels, by estimand

    @property
    def end(self) -> LogEnd:
        return LogEnd(next_sequence=len(self.records) + 1, next_place=len(self._ids))

    def append(self, entry: LogEntry) -> PlacedEntry:
        """Place *entry*; its time is that of its latest trace, or what it was before where it holds none."""
        if entry.source is Source.TRACES:
            at = entry.subjects.last_timestamp or datetime.now(UTC)
            self._traces += range(len(self._ids), len(self._ids) + len(entry.subjects))
        else:
            at = self.records[-1].at if self.records else datetime.now(UTC)
        placed = entry.placed(sequence=len(self.records) + 1, first_place=len(self._ids), at=at)
        self.records.append(placed)
        self._ids += entry.subjects.ids
        self._micros += entry.subjects.timestamps.tolist()
        for estimand in ESTIMANDS.values() if entry.source is Source.LABELS else ():
            self._count(estimand, placed)
        return placed

    @property
    def traces(self) -> int:
        return len(self._traces)

    @property
    def trace_ids(self) -> set[str | None]:
        return {self._ids[place] for place in self._traces}

    @property
    def period(self) -> tuple[datetime, datetime]:
        """The timestamps of the first trace and of the last; there is one at least."""
        micros = [self._micros[place] for place in self._traces]
        return moment_of(min(micros)), moment_of(max(micros))

    def place_of_trace(self, number: int) -> int:
        """Return the place before which *number* traces stand, and at which a trace or the log's end does."""
        return self._traces[number] if number < len(self._traces) else self.end.next_place

    def traces_before(self, place: int) -> int:
        return bisect_left(self._traces, place)

    def trace_numbers(self, places: Sequence[int]) -> list[int]:
        """Return the number, from 0, of the trace that each of *places* is about: labels stand after theirs."""
        numbers = {self._ids[place]: number for number, place in enumerate(self._traces)}
        return [numbers[self._ids[place]] for place in places]

    def position_at(self, place: int) -> FoldPosition:
        after = (entry.sequence for entry in self.records if entry.first_place + entry.places > place)
        return FoldPosition(next(after, self.end.next_sequence), place)

    def entries(self, start: FoldPosition, *, max_places: int) -> Iterator[PlacedEntry]:
        for entry in self.records[start.next_sequence - 1 :]:
            if entry.first_place >= start.next_place + max_places:
                return
            parts = tuple(batch.between(start.next_place) for batch in entry.observations)
            yield replace(entry, observations=parts)

    def window(self, start: int, stop: int, signals: Collection[str] | None = None) -> list[ObservationBatch]:
        parts = (batch.between(start, stop) for entry in self._inside(start, stop) for batch in entry.observations)
        return [part for part in parts if len(part.places) and (signals is None or part.series.signal in signals)]

    def excerpt(self, stream: StreamKey, start: int, stop: int) -> Excerpt:
        return excerpt_of(self.window(start, stop), stream)

    def subjects(self, start: int, stop: int) -> SubjectWindow:
        return SubjectWindow.join([entry.subjects(start, stop) for entry in self._inside(start, stop)])

    def locate(self, places: Sequence[int]) -> list[SubjectRef]:
        return [SubjectRef(place, self._ids[place], moment_of(self._micros[place])) for place in places]

    def newcomers(self) -> dict[str, SubjectRef]:
        """Return where each policy model began, but for those that the log begins with."""
        first: dict[str, int] = {}
        for batch in self.window(0, self.end.next_place):
            model = batch.series.policy_model
            first[model] = min(first.get(model, int(batch.places[0])), int(batch.places[0]))
        later = {model: place for model, place in first.items() if place > min(first.values())}
        return dict(zip(later, self.locate(list(later.values())), strict=True))

    def label_span(self, estimand: Estimand, place: int) -> LabelSpan | None:
        """Return the span of all blocks that have matured; None where none has.

        Raises `ValueError` for a *place* other than 0: a file's baseline begins there.
        """
        if place:
            raise ValueError(f"place = {place}; the blocks of a file are counted from its beginning alone")
        return self._spans.get(estimand.name)

    def _inside(self, start: int, stop: int) -> list[PlacedEntry]:
        """Return the entries that hold some of the places start <= place < stop."""
        first = bisect_right(self.records, start, key=_first_place)
        last = bisect_left(self.records, stop, key=_first_place)
        return [entry for entry in self.records[max(first - 1, 0) : last] if entry.first_place + entry.places > start]

    def _count(self, estimand: Estimand, entry: PlacedEntry) -> None:
        counts = {estimand.labelled: Counter[str](), estimand.compared: Counter[str]()}
        own = [batch for batch in entry.observations if batch.series.signal in {estimand.name, *counts}]
        if not own:
            return
        for batch in own:
            if batch.series.signal in counts:
                counts[batch.series.signal][batch.series.scorer_version] += len(batch.values)
        first_place = entry.first_place
        if estimand.name in self._spans:
            before = self._spans[estimand.name]
            first_place = before.first_place
            counts[estimand.labelled].update(before.verdicts)
            counts[estimand.compared].update(before.compared)
        self._spans[estimand.name] = LabelSpan(first_place, entry.first_place + entry.places, *counts.values())


def _first_place(entry: PlacedEntry) -> int:
    return entry.first_place
