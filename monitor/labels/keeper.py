"""Keeps the blocks: cuts the log into them, and writes each to the log once its labels are all there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

import numpy as np

from monitor.domain.label import Verdict
from monitor.domain.observation import (
    LogEntry,
    ObservationBatch,
    PlacedEntry,
    Series,
    Source,
    SubjectRef,
    Subjects,
    joined,
    micros_of,
)
from monitor.domain.review import Queued
from monitor.labels.block import BlockRule, OpenBlock, Outcome, Settled, settle
from monitor.labels.item import Items, Sampling, eligible_of, items_of
from monitor.labels.tuning import Tuning
from monitor.signals.estimand import ESTIMANDS, LENGTH_GAP, Estimand

CUT_ENTRIES = 200  # of the log, read at once
BLOCKS_AT_ONCE = 32
END_OF_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cut:
    """How far the log is cut into blocks, for one estimand."""

    next_sequence: int = 1  # of the first entry that is not read
    next_number: int = 1  # of the next block
    first_place: int = 0  # where it begins
    eligible: int = 0  # traces it has so far
    tuning: Tuning = field(default_factory=Tuning)


class BlockStore(Protocol):
    """What the keeper reads and writes. Every method raises `Unavailable` where the store is away."""

    def cut(self, estimand: str) -> Cut:
        """Return how far the log is cut; the beginning, where it never was."""
        ...

    def save_cut(self, estimand: str, cut: Cut, blocks: Sequence[OpenBlock]) -> None:
        """Commit *blocks*, which are new, with the cut after them."""
        ...

    def entries(self, sequence: int, signals: Collection[str], *, limit: int) -> Iterator[PlacedEntry]:
        """Yield the placed entries of traces from *sequence* on, with the observations of *signals*.

        At most *limit* entries, of any source; one that is not of traces comes without observations.
        """
        ...

    def now(self) -> datetime | None:
        """Return the log's time; None while it is empty."""
        ...

    def open_blocks(self, estimand: str, *, limit: int) -> Sequence[OpenBlock]:
        """Return the first blocks that are not settled, in their order."""
        ...

    def window(self, start: int, stop: int, signals: Collection[str] | None = None) -> Iterator[ObservationBatch]: ...

    def locate(self, places: Sequence[int]) -> Sequence[SubjectRef]: ...

    def verdicts(
        self, kind: str, trace_ids: Sequence[str], criteria_version: str | None, *, stated_only: bool
    ) -> Mapping[str, Verdict]:
        """Return what people say of each of *trace_ids* that they have judged, as `labels.verdict.verdicts` has it."""
        ...

    def queued(self, kind: str, trace_ids: Sequence[str]) -> Mapping[str, Queued]:
        """Return where the review queue stands with those of *trace_ids* that are in it."""
        ...

    def criteria(self) -> str | None:
        """Return the version of the criteria in force; None where there are none."""
        ...

    def save_settled(self, estimand: str, cut: Cut, settled: Sequence[Settled], entry: LogEntry | None) -> None:
        """Commit *settled*, the entry that they make in the log, and what was learnt; all or nothing."""
        ...


class BlockKeeper:
    """One leader's turn at the blocks of every estimand; after any exception the next turn reads what is stored."""

    def __init__(self, store: BlockStore, rule: BlockRule) -> None:
        self._store = store
        self._rule = rule

    def turn(self) -> bool:
        """Cut what is new and settle what can be; say whether more may be ready at once."""
        now = self._store.now()
        if now is None:
            return False
        more = False
        for estimand in ESTIMANDS.values():
            more = self._cut(estimand) or more
            more = self._settle(estimand, now) or more
        return more

    def finish(self, estimands: Collection[Estimand], *, end: int) -> None:
        """Settle what is left of *estimands*: the log ends at place *end*, and no more labels will come."""
        for estimand in estimands:
            while self._cut(estimand):
                pass
            cut = self._store.cut(estimand.name)
            if cut.eligible:
                at, criteria = END_OF_TIME - self._rule.wait, self._criteria()
                rest = OpenBlock(cut.next_number, cut.first_place, end, at, criteria)
                self._store.save_cut(estimand.name, _after(cut, end), [rest])
            while self._settle(estimand, END_OF_TIME):
                pass

    def _cut(self, estimand: Estimand) -> bool:
        """Cut some of the log's new entries into blocks of as many eligible traces each; say whether there are more."""
        cut, criteria, blocks = self._store.cut(estimand.name), self._criteria(), list[OpenBlock]()
        start, signals = cut.next_sequence, {estimand.selected, estimand.cheap or estimand.selected}
        entries = list(self._store.entries(start, signals, limit=CUT_ENTRIES))
        for entry in entries:
            places = eligible_of(entry.observations, estimand, self._rule.sampling)
            while len(places) and cut.eligible + len(places) >= self._rule.traces:
                wanted = max(self._rule.traces - cut.eligible, 1)  # fewer may be wanted now than when it was begun
                stop_place = int(places[wanted - 1]) + 1
                blocks.append(OpenBlock(cut.next_number, cut.first_place, stop_place, entry.at, criteria))
                cut, places = _after(cut, stop_place), places[wanted:]
            cut = replace(cut, next_sequence=entry.sequence + 1, eligible=cut.eligible + len(places))
        if entries:
            self._store.save_cut(estimand.name, cut, blocks)
        return len(entries) == CUT_ENTRIES

    def _criteria(self) -> str | None:
        """Return the version that labels must have; what labels state by themselves may have any."""
        if self._rule.criteria_version is not None or self._rule.sampling is Sampling.STATED:
            return self._rule.criteria_version
        return self._store.criteria()

    def _settle(self, estimand: Estimand, now: datetime) -> bool:
        """Settle the first blocks, in their order, as far as their labels are there; say whether any was."""
        for limit in (1, BLOCKS_AT_ONCE):  # the others need not be read while the first one waits
            blocks = self._store.open_blocks(estimand.name, limit=limit)
            settled, cut = self._settled(estimand, blocks, now)
            if not settled:
                return False
        self._store.save_settled(estimand.name, cut, settled, entry_of(settled))
        return True

    def _settled(self, estimand: Estimand, blocks: Sequence[OpenBlock], now: datetime) -> tuple[list[Settled], Cut]:
        cut, settled = self._store.cut(estimand.name), list[Settled]()
        if not blocks:
            return settled, cut
        items = self._items(estimand, blocks[0].first_place, blocks[-1].stop_place)
        stated = self._rule.sampling is Sampling.STATED
        wanted = [name for name, drawn in zip(items.ids, items.selected, strict=True) if drawn or stated]
        queued = self._store.queued(estimand.kind, wanted)  # before the verdicts: an item that is done has its own
        verdicts = {
            version: self._store.verdicts(estimand.kind, wanted, version, stated_only=stated)
            for version in {block.criteria_version for block in blocks}
        }
        for block in blocks:
            found = settle(
                block,
                items.between(block.first_place, block.stop_place),
                verdicts[block.criteria_version],
                estimand=estimand,
                rule=self._rule,
                tuning=cut.tuning,
                queued=queued,
                now=now,
            )
            if found is None:
                break
            settled.append(found[0])
            cut = replace(cut, tuning=found[1])
        return settled, cut

    def _items(self, estimand: Estimand, start: int, stop: int) -> Items:
        signals = {estimand.selected, estimand.cheap or estimand.selected, LENGTH_GAP.name}
        batches = list(self._store.window(start, stop, signals))
        places = eligible_of(batches, estimand, self._rule.sampling)
        subjects = self._store.locate(places.tolist())
        return items_of(
            batches,
            places,
            ids=[subject.subject_id or "" for subject in subjects],
            timestamps=micros_of([subject.timestamp for subject in subjects]),
            estimand=estimand,
        )


def _after(cut: Cut, stop_place: int) -> Cut:
    """Return *cut* once its block has ended at *stop_place*."""
    return replace(cut, next_number=cut.next_number + 1, first_place=stop_place, eligible=0)


def entry_of(settled: Sequence[Settled]) -> LogEntry | None:
    """Return the log's entry of the blocks that have matured, one after another; None where none has."""
    matured = [row for row in settled if row.outcome is Outcome.MATURED]
    if not matured:
        return None
    starts = np.cumsum([0, *(len(row.items) for row in matured)])
    parts: dict[Series, list[ObservationBatch]] = {}
    for start, row in zip(starts, matured, strict=False):
        for batch in row.observations:
            parts.setdefault(batch.series, []).append(batch.placed(int(start)))
    subjects = Subjects(
        ids=tuple(name for row in matured for name in row.items.ids),
        timestamps=np.concatenate([row.items.timestamps for row in matured]),
    )
    return LogEntry(Source.LABELS, subjects, tuple(joined(parts[series]) for series in sorted(parts)))
