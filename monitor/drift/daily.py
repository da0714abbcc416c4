"""What each stream has gathered on the present day, and which streams moved on one.

A day is one of the log's own time, in UTC: an entry's observations count on the day on which it was
written, late traces with the others, so a day that is over stays as it was.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Direction, Severity
from monitor.domain.stream import StreamKey
from monitor.drift.budget import Budget, Pace, StreamCount
from monitor.stats.eprocess import Mixture
from monitor.stats.fdr import ELond, rejected

Floats = NDArray[np.float64]
LEAST_LOG_E = float(np.log(10.0))  # Evidence below ten to one is never told of, however many others moved.
_HEAD = struct.Struct("<qqqdd")


@dataclass(frozen=True, slots=True)
class StreamDay:
    """One stream on one day: its pace, its A, and the capital of each bet since the day began."""

    since: int  # the day of its first observation
    pace: Pace
    run_length: float  # A; it never falls under one baseline
    log_products: Floats  # (components,)

    def after(self, observations: int, log_growth: Floats) -> StreamDay:
        """Add rows whose growth factors' logarithms sum to *log_growth*, shape (components,)."""
        return replace(self, pace=self.pace.after(observations), log_products=self.log_products + log_growth)

    def evidence(self, key: StreamKey, mixture: Mixture) -> DayEvidence:
        up = mixture.is_up(self.log_products)
        direction = Direction.UP if up else Direction.DOWN
        return DayEvidence(key, self.pace.day, self.pace.today, mixture.log_e(self.log_products), direction)

    def to_bytes(self) -> bytes:
        head = _HEAD.pack(self.since, self.pace.day, self.pace.today, self.pace.rate, self.run_length)
        return head + self.log_products.astype("<f8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> StreamDay:
        since, day, today, rate, run_length = _HEAD.unpack_from(data)
        products = np.frombuffer(data, dtype="<f8", offset=_HEAD.size)
        return cls(since, Pace(rate, day, today), run_length, products.copy())


class Days:
    """The log's days as a fold goes through them: begins a stream's day, and fixes its A for that day.

    A hangs only on what was folded before the day began, so it does not matter where the log is cut.
    """

    def __init__(self, budget: Budget, planned: StreamCount, expected_per_day: Callable[[StreamKey], float]) -> None:
        self._budget = budget
        self._planned = planned
        self._expected_per_day = expected_per_day
        self._count = planned
        self.day = 0

    def turn(self, at: datetime, known: Mapping[StreamKey, StreamDay]) -> None:
        """Go on to the log's time *at*, with the streams *known* so far."""
        day = at.astimezone(UTC).toordinal()
        if day > self.day:
            self.day = day
            count = StreamCount.of(key for key, stream in known.items() if stream.since < day)
            self._count = self._planned.or_more(count)

    def begin(self, key: StreamKey, before: StreamDay | None, components: int) -> StreamDay:
        """Return *key* on the present day, as it left off where it was observed on it already."""
        if before is not None and before.pace.day >= self.day:
            return before
        pace = Pace(self._expected_per_day(key), self.day) if before is None else before.pace.on(self.day)
        wanted = self._budget.run_length(key, pace.rate, self._count)
        since, least = (self.day, 0.0) if before is None else (before.since, before.run_length)
        return StreamDay(since, pace, max(wanted, least), np.zeros(components))

    def thresholds(self, stream: StreamDay) -> dict[Severity, float]:
        return self._budget.thresholds(stream.run_length)


@dataclass(frozen=True, slots=True)
class DayEvidence:
    """What one day said against "this stream's mean stayed in its null interval all day"."""

    stream: StreamKey
    day: int  # proleptic ordinal, UTC
    observations: int
    log_e: float  # natural logarithm of a proper e-value
    direction: Direction


@dataclass(frozen=True, slots=True)
class Moved:
    """A stream that moved on a day."""

    evidence: DayEvidence
    on_the_day: bool  # among those that the day may tell of by itself (e-BH)
    over_days: bool  # among those that all days together may tell of (e-LOND)


@dataclass(frozen=True, slots=True)
class DayVerdict:
    day: int
    streams: int  # that were observed on the day
    moved: tuple[Moved, ...]  # most evidence first


def judge_day(day: int, evidence: Sequence[DayEvidence], false_share: float, before: ELond) -> tuple[DayVerdict, ELond]:
    """Say which streams moved on *day*, given all that were observed on it; return it with e-LOND's state after it.

    Guarantee
    ---------
    Of the streams found `on_the_day`, at most *false_share* have not moved, in the mean over days; a day without any
    counts as none false (e-BH). Of all that were found `over_days`, at most e-LOND's alpha have not. Both hold however
    the streams depend on each other. They rest on what the alarms rest on: a stream that has not moved
    keeps its conditional mean in its null interval.
    """
    log_e = np.array([row.log_e for row in evidence], dtype=np.float64)
    told = np.where(log_e >= LEAST_LOG_E, log_e, -np.inf)
    on_the_day = rejected(told, false_share).tolist()
    over_days, after = before.test(told)
    rows = [Moved(*row) for row in zip(evidence, on_the_day, over_days.tolist(), strict=True) if any(row[1:])]
    rows.sort(key=lambda row: (-row.evidence.log_e, row.evidence.stream))
    return DayVerdict(day, len(evidence), tuple(rows)), after
