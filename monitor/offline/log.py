"""The log of observations in memory, for one pass over files."""

from __future__ import annotations

from bisect import bisect_left
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
from monitor.signals.estimand import Estimand


@dataclass(slots=True)
class InMemoryLog:
    """Entries placed as they are appended; what `drift.log.LabelLog` asks for."""

    records: list[PlacedEntry] = field(default_factory=list)
    _ids: list[str | None] = field(default_factory=list)
    _micros: list[int] = field(default_factory=list)
    _traces: list[int] = field(default_factory=list)  # the places of traces

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
        """Return the span of the blocks in entries at *place* or later; None where none has matured."""
        counts: dict[str, dict[str, int]] = {estimand.name: {}, estimand.labelled: {}, estimand.compared: {}}
        entries = []
        for entry in self.records:
            if entry.source is Source.LABELS and entry.first_place >= place:
                own = [batch for batch in entry.observations if batch.series.signal in counts]
                entries += [entry] if own else []
                for batch in own:
                    of = counts[batch.series.signal]
                    of[batch.series.scorer_version] = of.get(batch.series.scorer_version, 0) + len(batch.values)
        if not entries:
            return None
        stop_place = entries[-1].first_place + entries[-1].places
        return LabelSpan(entries[0].first_place, stop_place, counts[estimand.labelled], counts[estimand.compared])

    def _inside(self, start: int, stop: int) -> list[PlacedEntry]:
        """Return the entries that hold some of the places start <= place < stop."""
        return [
            entry for entry in self.records if entry.first_place < stop and entry.first_place + entry.places > start
        ]
