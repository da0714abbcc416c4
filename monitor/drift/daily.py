"""What each stream has gathered on the present day, and which streams moved on one.

A day is one of the traffic's own time, in UTC, as far as the log has come: it never goes back, so late traces count
on the day on which they are read, and a day that is over stays as it was. A history that is read in an hour
has as many days as it had.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Direction, Severity
from monitor.domain.stream import StreamKey
from monitor.drift.budget import Budget, Pace, StreamCount, WindowPaces
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
        day = date.fromordinal(self.pace.day)
        return DayEvidence(key, day, self.pace.today, mixture.log_e(self.log_products), direction)

    def to_bytes(self) -> bytes:
        head = _HEAD.pack(self.since, self.pace.day, self.pace.today, self.pace.rate, self.run_length)
        return head + self.log_products.astype("<f8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> StreamDay:
        since, day, today, rate, run_length = _HEAD.unpack_from(data)
        products = np.frombuffer(data, dtype="<f8", offset=_HEAD.size)
        return cls(since, Pace(rate, day, today), run_length, products.copy())


class Days:
    """The traffic's days as a fold goes through them: begins a stream's day, and fixes its A for that day.

    A hangs only on what was folded before the day began, so it does not matter where the log is cut.
    """

    def __init__(self, budget: Budget, window: WindowPaces) -> None:
        self._budget = budget
        self._window = window
        self._count = window.count
        self._mixtures: dict[StreamKey, Mixture] = {}
        self._over: list[DayEvidence] = []  # of days that ended, not yet taken
        self.day = 0  # proleptic ordinal, UTC

    def turn(self, at: datetime, known: Iterable[tuple[StreamKey, StreamDay | None]]) -> None:
        """Go on to the traffic's time *at*; *known*, the streams so far, are looked at where a day begins."""
        day = at.astimezone(UTC).toordinal()
        if day <= self.day:
            return
        streams = [(key, stream) for key, stream in known if stream is not None]
        # After a restart the streams say how far the days had come, and which had begun before that day.
        self.day = max([day, *(stream.pace.day for _, stream in streams)])
        before = (key.cohort for key, stream in streams if stream.since < self.day)
        self._count = self._window.count.or_more(StreamCount().and_of(before))

    def begin(self, key: StreamKey, before: StreamDay | None, mixture: Mixture) -> StreamDay:
        """Return *key* on the present day, as it left off where it was observed on it already."""
        self._mixtures[key] = mixture
        if before is not None and before.pace.day >= self.day:
            return before
        if before is not None:
            self._over.append(before.evidence(key, mixture))
        pace = Pace(self._window.expected(key), self.day) if before is None else before.pace.on(self.day)
        wanted = self._budget.run_length(key, pace.rate, self._count)
        since, least = (self.day, 0.0) if before is None else (before.since, before.run_length)
        return StreamDay(since, pace, max(wanted, least), np.zeros(len(mixture.weights)))

    def take(self, changed: Iterable[tuple[StreamKey, StreamDay | None]]) -> list[DayEvidence]:
        """Return the evidence of the days that ended since the last call, and of *changed* streams' present one."""
        over, self._over = self._over, []
        present = (
            stream.evidence(key, self._mixtures[key])
            for key, stream in changed
            if stream is not None and key in self._mixtures
        )
        return [*over, *present]

    def thresholds(self, stream: StreamDay) -> dict[Severity, float]:
        return self._budget.thresholds(stream.run_length)


@dataclass(frozen=True, slots=True)
class DayEvidence:
    """What one day said against "this stream's mean stayed in its null interval all day"."""

    stream: StreamKey
    day: date  # UTC
    observations: int
    log_e: float  # natural logarithm of a proper e-value
    direction: Direction


@dataclass(frozen=True, slots=True)
class Moved:
    """A stream that moved on a day."""

    evidence: DayEvidence
    on_the_day: bool  # among those that the day may tell of by itself (e-BH)
    over_days: bool  # among those that all days together may tell of (e-LOND)


def judge_day(
    evidence: Sequence[DayEvidence], streams: int, false_share: float, before: ELond
) -> tuple[list[Moved], ELond]:
    """Say which streams moved on a day, most evidence first; return them with e-LOND's state after the day.

    *evidence* is that of at least ten to one, of the day's *streams* observations were made of; the others' may
    be left out.

    Guarantee
    ---------
    Of the streams found `on_the_day`, at most *false_share* have not moved, in the mean over days; a day without any
    counts as none false (e-BH). Of all that were found `over_days`, at most e-LOND's alpha have not. Both hold however
    the streams depend on each other. They rest on what the alarms rest on: a stream that has not moved
    keeps its conditional mean in its null interval.
    """
    log_e = np.full(max(streams, len(evidence)), -np.inf)
    log_e[: len(evidence)] = [row.log_e for row in evidence]
    told = np.where(log_e >= LEAST_LOG_E, log_e, -np.inf)
    on_the_day = rejected(told, false_share).tolist()
    over_days, after = before.test(told)
    found = zip(evidence, on_the_day, over_days.tolist(), strict=False)
    moved = [Moved(row, day, over) for row, day, over in found if day or over]
    return sorted(moved, key=lambda row: (-row.evidence.log_e, row.evidence.stream)), after
