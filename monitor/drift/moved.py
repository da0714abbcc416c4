"""Which streams moved on a day, as operators ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from monitor.drift.daily import DayEvidence, Moved, judge_day
from monitor.stats.fdr import ELond


@dataclass(frozen=True, slots=True)
class DayRecord:
    """What is kept of one day."""

    day: date
    streams: int  # that were observed
    evidence: tuple[DayEvidence, ...]  # that of at least ten to one


@dataclass(frozen=True, slots=True)
class MovedStreams:
    """The streams that moved on one day, most evidence first; while the day lasts, so far."""

    day: date
    streams: int  # that were observed
    false_share: float  # of what is told, at most, in the mean
    moved: tuple[Moved, ...]


class DayStore(Protocol):
    """The days under the active baseline. Every method raises `Unavailable` where the store is away."""

    def latest_day(self) -> tuple[int, date] | None:
        """Return the active baseline and the last day with evidence under it; None where there is none."""
        ...

    def days(self, baseline_id: int, *, after: date, through: date) -> Sequence[DayRecord]:
        """Return the days after < day <= through on which anything was observed, in order."""
        ...


@dataclass(frozen=True, slots=True)
class _Judged:
    baseline_id: int
    through: date
    lond: ELond


class MovedDays:
    """The verdicts of days; may be asked from many threads. Days that are over are judged once."""

    def __init__(self, store: DayStore, false_share: float) -> None:
        self._store = store
        self._false_share = false_share
        self._judged: _Judged | None = None

    def moved(self, day: date | None) -> MovedStreams | None:
        """Return what moved on *day*, or on the last one there is; None where nothing was watched yet."""
        latest = self._store.latest_day()
        if latest is None:
            return None
        baseline_id, last = latest
        asked = last if day is None else day
        judged = self._judged
        if judged is None or judged.baseline_id != baseline_id or judged.through >= asked:
            judged = _Judged(baseline_id, date.min, ELond(self._false_share))
        lond, told = judged.lond, MovedStreams(asked, 0, self._false_share, ())
        for record in self._store.days(baseline_id, after=judged.through, through=asked):
            moved, lond = judge_day(record.evidence, record.streams, self._false_share, lond)
            if record.day < last:
                judged = _Judged(baseline_id, record.day, lond)
            if record.day == asked:
                told = MovedStreams(asked, record.streams, self._false_share, tuple(moved))
        self._judged = judged
        return told
