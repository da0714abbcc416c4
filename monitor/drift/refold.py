"""The fold of an alarm's stream made again from the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Protocol

from monitor.domain.alarm import Alarm
from monitor.domain.observation import PlacedEntry
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline
from monitor.drift.fold import Fold, FoldRules
from monitor.drift.kinds import Mix
from monitor.drift.log import ObservationLog
from monitor.drift.stored import FoldPosition
from monitor.drift.stream import Decision

PAGE_PLACES = 20_000  # of the log, read at once
WARM_PLACES = 2_000  # after which the recent mix has forgotten where it began
EQUAL = 1e-6  # of the evidence: sums in another order differ by less


class ReadableLog(ObservationLog, Protocol):
    """The log, as it is folded again."""

    def position_at(self, place: int) -> FoldPosition:
        """Return where a fold begins whose first place is *place*."""
        ...

    def entries(self, start: FoldPosition, *, max_places: int) -> Iterator[PlacedEntry]:
        """Yield the entries from *start* on, in order, that begin less than *max_places* after it."""
        ...


@dataclass(frozen=True, slots=True)
class Recount:
    """The alarm's stream folded again, by the settings of today."""

    whole: bool  # from the baseline's end; else only so far back that the recent mix is known
    agrees: bool  # the same place, with the same evidence
    place: int | None  # of the decision; None where there is none up to the alarm's place
    onset_place: int | None
    evidence_log: float | None  # log e / log of what the severity takes: at the decision, or at the alarm's place
    note: str  # for people: how it differs


@dataclass(frozen=True, slots=True)
class Refolded:
    """The fold as it stood before the deciding entry, that entry up to the alarm's place, and what came of it."""

    whole: bool
    mixes: Mapping[StreamKey, Mix]
    leans: Mapping[StreamKey, float]
    entry: PlacedEntry
    decisions: tuple[Decision, ...]  # of the alarm's stream and severity, up to its place
    evidence_log: float | None  # of the stream, at the alarm's place
    moved: Mapping[StreamKey, Mix]  # the mixes there


def refold(
    alarm: Alarm, baseline: Baseline, rules: FoldRules, log: ReadableLog, *, max_places: int | None
) -> Refolded | None:
    """Fold the log again up to *alarm*'s place; None where it has forgotten that."""
    start = baseline.stop_place
    if max_places is not None and alarm.place - start > max_places:
        start = max(start, alarm.place - WARM_PLACES)
    fold, found, whole = Fold(baseline, rules), [], None
    for entry in entries_upto(log, log.position_at(start), alarm.place):
        if whole is None:
            whole = start == baseline.stop_place and entry.first_place <= start
        last = entry.first_place + entry.places == alarm.place + 1
        mixes, leans = (dict(fold.mixes), dict(fold.leans)) if last else ({}, {})
        outcomes = fold.add(entry)
        found += [
            outcome
            for outcome in outcomes
            if isinstance(outcome, Decision) and (outcome.stream, outcome.severity) == (alarm.stream, alarm.severity)
        ]
        if last:
            evidence = fold.evidence_log(alarm.stream) if alarm.stream in fold.streams else None
            return Refolded(whole, mixes, leans, entry, tuple(found), evidence, dict(fold.mixes))
    return None


def part_of(entry: PlacedEntry, start: int, stop: int) -> PlacedEntry:
    """Return the part of *entry* on the places start <= place < stop, as if it had been written by itself."""
    rows = slice(start - entry.first_place, stop - entry.first_place)
    return replace(
        entry,
        first_place=start,
        places=stop - start,
        observations=tuple(batch.between(start, stop) for batch in entry.observations),
        timestamps=None if entry.timestamps is None else entry.timestamps[rows],
        covariates=None if entry.covariates is None else entry.covariates.between(rows.start, rows.stop),
    )


def entries_upto(log: ReadableLog, start: FoldPosition, place: int) -> Iterator[PlacedEntry]:
    """Yield the entries from *start* on, the last of them as far as *place*, which it holds."""
    while True:
        before = start
        for entry in log.entries(start, max_places=PAGE_PLACES):
            if entry.first_place > place:
                return
            yield part_of(entry, entry.first_place, place + 1) if entry.first_place + entry.places > place else entry
            start = FoldPosition(entry.sequence + 1, max(start.next_place, entry.first_place + entry.places))
        if start == before or start.next_place > place:
            return


def compare(alarm: Alarm, again: Refolded) -> Recount:
    """Say whether the decision came out as it did."""
    same = [decision for decision in again.decisions if decision.episode == alarm.episode]
    found = next(reversed(same or again.decisions), None)
    evidence = again.evidence_log if found is None else found.evidence_log
    at_once = found is not None and found.place == alarm.place
    equal = (
        found is not None and alarm.evidence_log is not None and abs(found.evidence_log - alarm.evidence_log) < EQUAL
    )
    if not again.whole:
        note = "folded from shortly before the decision alone, so its evidence was not counted again"
    elif at_once and equal:
        note = "the log decides at the same place, with the same evidence"
    elif found is None:
        reached = "none" if evidence is None else f"{max(evidence, 0.0):.2f} of what an alert takes"
        note = f"by today's settings there is no {alarm.severity} up to that place; the evidence there: {reached}"
    elif at_once:
        note = f"by today's settings it decides at the same place, with {found.evidence_log:.3f} of what it takes"
    else:
        note = f"by today's settings it decides at place {found.place}, {alarm.place - found.place} earlier"
    return Recount(
        whole=again.whole,
        agrees=again.whole and at_once and equal,
        place=None if found is None else found.place,
        onset_place=None if found is None else found.onset_place,
        evidence_log=evidence if again.whole and evidence is not None and isfinite(evidence) else None,
        note=note,
    )
