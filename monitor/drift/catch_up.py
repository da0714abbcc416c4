"""Streams whose law came later than their first observations: folded over those, up to where all others stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from monitor.domain.alarm import Recovery
from monitor.domain.observation import Series
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import SignalBaseline
from monitor.drift.daily import DayEvidence
from monitor.drift.fold import Fold, FoldRules, store
from monitor.drift.refold import PAGE_PLACES, WARM_PLACES, ReadableLog
from monitor.drift.stored import ActiveBaseline, FoldPosition, StoredStream
from monitor.drift.stream import Decision, Stream


class CatchUp:
    """The fold of the streams of *laws* alone, from *first_place*, where their first observation stands.

    It reads the log from a little before, so that the recent mix of prompts is known, and raises what the whole fold
    would have raised had it known the laws.
    """

    def __init__(
        self,
        active: ActiveBaseline,
        laws: Iterable[SignalBaseline],
        rules: FoldRules,
        log: ReadableLog,
        *,
        first_place: int,
    ) -> None:
        self._log = log
        self.active, self.laws = active, tuple(laws)
        self.baseline = active.baseline.extended(self.laws)
        self._keys = {law.key for law in self.laws}
        self._fold = Fold(self.baseline, rules)
        self.position = log.position_at(max(active.baseline.stop_place, first_place - WARM_PLACES))
        self.outcomes: list[Decision | Recovery] = []

    def advance(self, goal: FoldPosition, *, is_over: Callable[[], bool]) -> bool:
        """Fold towards *goal* until the time *is_over*; return whether it is reached."""
        while self.position.next_sequence < goal.next_sequence:
            before = self.position
            for entry in self._log.entries(self.position, max_places=PAGE_PLACES):
                if entry.sequence >= goal.next_sequence:
                    break
                kept = tuple(batch for batch in entry.observations if self._is_own(batch.series))
                found = self._fold.add(replace(entry, observations=kept))
                self.outcomes += [outcome for outcome in found if self._is_own(outcome.stream)]
                next_place = max(self.position.next_place, entry.first_place + entry.places)
                self.position = FoldPosition(entry.sequence + 1, next_place)
                if is_over():
                    return self.position.next_sequence >= goal.next_sequence
            if self.position == before:  # what lies between is forgotten
                return True
        return True

    def streams(self) -> dict[StreamKey, StoredStream]:
        return store(self._fold, self._own())

    def days(self) -> list[DayEvidence]:
        own = self._own()
        taken = self._fold.days.take((key, stream.day) for key, stream in own.items())
        return [row for row in taken if self._is_own(row.stream)]

    def _own(self) -> dict[StreamKey, Stream]:
        return {key: stream for key, stream in self._fold.streams.items() if self._is_own(key)}

    def _is_own(self, named: StreamKey | Series) -> bool:
        return (named.signal, named.scorer_version) in self._keys
