"""Blocks of labels in memory, for one pass over files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from monitor.domain.label import Label, Verdict
from monitor.domain.observation import LogEntry, ObservationBatch, PlacedEntry, Source, SubjectRef
from monitor.domain.review import Queued
from monitor.labels.block import OpenBlock, Settled
from monitor.labels.keeper import Cut
from monitor.labels.verdict import verdicts
from monitor.offline.log import InMemoryLog


class InMemoryBlocks:
    """`labels.keeper.BlockStore` over a log and labels that are all there; what it settles stays in `settled`.

    It hands out one block at a time, each of which makes an entry: so a law is frozen of no more labels than it takes.
    """

    def __init__(
        self, log: InMemoryLog, labels: Iterable[Label], *, on_entry: Callable[[], None] = lambda: None
    ) -> None:
        self._log = log
        self._on_entry = on_entry  # called after each entry that settled blocks make
        self._labels = tuple(labels)  # all together: a correction may be of another kind
        self._verdicts: dict[tuple[str, str | None, bool], dict[str, Verdict]] = {}
        self._cuts: dict[str, Cut] = {}
        self._open: dict[str, list[OpenBlock]] = {}
        self.settled: dict[str, list[Settled]] = {}

    def cut(self, estimand: str) -> Cut:
        return self._cuts.get(estimand, Cut())

    def save_cut(self, estimand: str, cut: Cut, blocks: Sequence[OpenBlock]) -> None:
        self._cuts[estimand] = cut
        self._open.setdefault(estimand, []).extend(blocks)

    def entries(self, sequence: int, signals: Collection[str], *, limit: int) -> Iterator[PlacedEntry]:
        for entry in self._log.records[sequence - 1 : sequence - 1 + limit]:
            own = entry.observations if entry.source is Source.TRACES else ()
            yield replace(entry, observations=tuple(batch for batch in own if batch.series.signal in signals))

    def now(self) -> datetime | None:
        return self._log.records[-1].at if self._log.records else None

    def open_blocks(self, estimand: str, *, limit: int) -> Sequence[OpenBlock]:
        return self._open.get(estimand, [])[: min(limit, 1)]

    def window(self, start: int, stop: int, signals: Collection[str] | None = None) -> Iterator[ObservationBatch]:
        return iter(self._log.window(start, stop, signals))

    def locate(self, places: Sequence[int]) -> Sequence[SubjectRef]:
        return self._log.locate(places)

    def verdicts(
        self, kind: str, trace_ids: Sequence[str], criteria_version: str | None, *, stated_only: bool
    ) -> Mapping[str, Verdict]:
        key = kind, criteria_version, stated_only
        if key not in self._verdicts:
            self._verdicts[key] = verdicts(
                self._labels, kind, criteria_version=criteria_version, stated_only=stated_only
            )
        found = self._verdicts[key]
        return {trace_id: found[trace_id] for trace_id in trace_ids if trace_id in found}

    def queued(self, kind: str, trace_ids: Sequence[str]) -> Mapping[str, Queued]:
        return {}

    def criteria(self) -> str | None:
        return None

    def save_settled(self, estimand: str, cut: Cut, settled: Sequence[Settled], entry: LogEntry | None) -> None:
        self._cuts[estimand] = cut
        del self._open[estimand][: len(settled)]
        self.settled.setdefault(estimand, []).extend(settled)
        if entry is not None:
            self._log.append(entry)
            self._on_entry()
