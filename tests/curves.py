"""A log in memory that curves are drawn from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from monitor.domain.observation import Moment
from monitor.offline.log import InMemoryLog


class InMemoryCurveLog(InMemoryLog):
    """An entry's time is that of its last trace."""

    def moments(self, places: Sequence[int]) -> list[Moment]:
        found = []
        for subject in self.locate([place for place in places if place < self.end.next_place]):
            held = [entry for entry in self.records if entry.places]
            entry = held[bisect_right([item.first_place for item in held], subject.place) - 1]
            found.append(Moment(subject.place, subject.timestamp, entry.at))
        return found
