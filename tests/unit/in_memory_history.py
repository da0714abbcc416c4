"""Streams' pasts without a database, and one that is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from monitor.domain.episode import EventKind
from monitor.domain.history import FINE, HistoryRange, StreamName
from monitor.domain.observation import Series, batch_of
from monitor.domain.stream import StreamKey
from monitor.drift.curve import Band
from monitor.drift.history import HeldBand, HistoryMark, StreamHistory, points_of
from monitor.drift.rollup import Bucket, Seen, roll_up
from monitor.errors import Unavailable
from monitor.postgres.engine import AWAY

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = StreamKey("response_length", "*", "chat-2", "1")


@dataclass
class InMemoryHistories:
    """`web.routes.stream.Histories`."""

    kept: dict[int, StreamHistory] = field(default_factory=dict)
    away: bool = False

    def knows(self, stream_id: int) -> bool:
        return stream_id in self.kept

    def history(self, stream_id: int, chosen: HistoryRange, *, until: datetime | None) -> StreamHistory | None:
        if self.away:
            raise Unavailable("gone", plain=AWAY)
        found = self.kept.get(stream_id)
        if found is None:
            return None
        end = chosen.until(until or NOON)
        begin = end - chosen.span
        rolled = [row for row in buckets(found.stream.key) if begin <= row[0] < end]
        marks = tuple(mark for mark in found.marks if begin <= mark.at < end)
        width = chosen.width_seconds
        return replace(
            found,
            range=chosen,
            width_seconds=width,
            since=begin,
            until=end,
            points=points_of(rolled, width),
            marks=marks,
        )


def buckets(key: StreamKey = KEY, *, hours: int = 24, per_hour: int = 60) -> list[tuple[datetime, Bucket]]:
    """Return the five minutes of *hours* up to noon; answers grow longer in the last quarter, after a gap."""
    random, start = np.random.default_rng(7), NOON - timedelta(hours=hours)
    after = np.sort(random.integers(0, hours * 3600, hours * per_hour))
    after = after[(after < 0.6 * hours * 3600) | (after > 0.66 * hours * 3600)]
    values = random.lognormal(5.0, 0.4, len(after)) * np.where(after > 0.75 * hours * 3600, 1.5, 1.0)
    if key.signal == "refusal":
        values = (random.random(len(after)) < 0.05).astype(float)
    series = Series(key.signal, key.policy_model, key.scorer_version)
    batch = batch_of(series, [(place, "a", float(value)) for place, value in enumerate(values)])
    found = roll_up([Seen(batch, (int(start.timestamp()) + after) * 1_000_000)])
    rolled = {
        one.start: bucket for one, bucket in found.items() if (one.width_seconds, one.stream.cohort) == (FINE, "*")
    }
    return [(datetime.fromtimestamp(at, UTC), bucket) for at, bucket in sorted(rolled.items())]


def bands_of(key: StreamKey) -> tuple[HeldBand, ...]:
    """Return two: the second was frozen 20 hours before noon."""
    earlier, active = Band(140.0, 136.0, 144.0, 120.0, 160.0), Band(160.0, 155.0, 166.0, 141.0, 181.0)
    if key.signal == "refusal":
        earlier, active = Band(0.08, 0.07, 0.09, 0.06, 0.1), Band(0.05, 0.04, 0.06, 0.03, 0.07)
    frozen = NOON - timedelta(hours=20)
    return HeldBand(2, NOON - timedelta(days=9), frozen, earlier), HeldBand(3, frozen, None, active)


def a_history(stream_id: int = 3, key: StreamKey = KEY, **changes: object) -> StreamHistory:
    """Return a day up to noon."""
    points = points_of(buckets(key), HistoryRange.DAY.width_seconds)
    at = {"onset": 6.2, "alert": 5.5, "release": 6.3, "promotion": 3.0, "baseline": 20.0}
    marks = tuple(
        HistoryMark(
            EventKind(kind),
            NOON - timedelta(hours=hours),
            f"{kind} here",
            by_wall=kind in {"promotion", "baseline"},
            alarm_id=7 if kind in {"onset", "alert"} else None,
        )
        for kind, hours in sorted(at.items(), key=lambda pair: -pair[1])
    )
    usual = StreamHistory(
        stream=StreamName(stream_id, key),
        unit="ratio" if key.signal == "refusal" else "tokens",
        meaning="tokens of the answer",
        range=HistoryRange.DAY,
        since=NOON - timedelta(days=1),
        until=NOON,
        width_seconds=HistoryRange.DAY.width_seconds,
        points=points,
        bands=bands_of(key),
        marks=marks,
        first=NOON - timedelta(days=1),
        last=NOON - timedelta(minutes=5),
        related=(StreamName(4, replace(key, cohort="dataset=wild")),),
    )
    return replace(usual, **changes)  # type: ignore[arg-type]
