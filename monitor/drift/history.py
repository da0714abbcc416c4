"""A stream's past, as its page draws it: points of even width, the baseline's band, and what happened meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from itertools import groupby

import numpy as np

from monitor.domain.alarm import StoredAlarm
from monitor.domain.episode import EventKind, FrozenBaseline, Released
from monitor.domain.history import MAX_MARKS, HistoryRange, StreamName
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline
from monitor.drift.curve import Band, band_of
from monitor.drift.rollup import Bucket
from monitor.drift.stored import HeldBaseline
from monitor.signals.set import SignalSet
from monitor.stats.quantile_sketch import codes_of, quantiles

SHARES = (0.1, 0.5, 0.9, 0.99)
Z = 1.96  # of a 95 % interval
_TOLD_EXACTLY = codes_of(np.array([0.0, 1.0]))


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """What one stretch of a stream came to, in the signal's unit.

    A stream of zeros and ones has no quantiles that say anything: it has the 95 % interval of its rate, Wilson's.
    """

    start: datetime
    observations: int
    mean: float
    p10: float | None = None
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class HistoryMark:
    kind: EventKind
    at: datetime
    what: str
    by_wall: bool  # by the clock on the wall; else in the traces' time, as the points are
    alarm_id: int | None = None
    job_id: int | None = None


@dataclass(frozen=True, slots=True)
class HeldBand:
    """What a baseline let expect of the stream for as long as it was the active one, and held a law for it."""

    baseline_id: int
    since: datetime
    until: datetime | None  # exclusive; None: it still holds
    band: Band


@dataclass(frozen=True, slots=True)
class StreamHistory:
    stream: StreamName
    unit: str
    meaning: str
    range: HistoryRange
    since: datetime
    until: datetime  # exclusive
    width_seconds: int  # of a point
    points: tuple[HistoryPoint, ...]  # oldest first; a stretch without observations has none
    bands: tuple[HeldBand, ...]  # oldest first; a baseline that held no law for the stream has none
    marks: tuple[HistoryMark, ...]  # oldest first
    first: datetime | None  # when the stream's first roll-up that is kept begins, and its last
    last: datetime | None
    related: tuple[StreamName, ...]  # of the same signal: other cohorts, models and scorers


def points_of(buckets: Iterable[tuple[datetime, Bucket]], width_seconds: int) -> tuple[HistoryPoint, ...]:
    """Return *buckets*, oldest first, as points of *width_seconds*."""
    rows = list(buckets)
    binary = all(np.isin(bucket.codes, _TOLD_EXACTLY).all() and bucket.high <= 1.0 for _, bucket in rows)
    groups = groupby(rows, key=lambda row: int(row[0].timestamp()) // width_seconds * width_seconds)
    return tuple(
        _point(datetime.fromtimestamp(start, UTC), reduce(Bucket.merged, (one for _, one in group)), binary=binary)
        for start, group in groups
    )


def _point(start: datetime, bucket: Bucket, *, binary: bool) -> HistoryPoint:
    mean = bucket.total / bucket.count
    if binary:
        lower, upper = wilson(mean, bucket.count)
        return HistoryPoint(start, bucket.count, mean, lower=lower, upper=upper)
    told = quantiles(bucket.codes, bucket.counts, SHARES, low=bucket.low, high=bucket.high)
    return HistoryPoint(start, bucket.count, mean, *told)


def wilson(rate: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate of *count* zeros and ones, which is no point where all were alike."""
    shrunk = 1.0 + Z**2 / count
    middle = (rate + Z**2 / (2 * count)) / shrunk
    room = Z / shrunk * (rate * (1.0 - rate) / count + Z**2 / (4 * count**2)) ** 0.5
    return max(middle - room, 0.0), min(middle + room, 1.0)


@dataclass(frozen=True, slots=True)
class KnownBand:
    """What one baseline, as it is now, holds for one stream; no band and no unit where it holds no law for it."""

    band: Band | None = None
    unit: str = ""
    place: int = 0  # of the log, from which the law holds; 0: from the baseline's beginning on


def band_in(baseline: Baseline, stream: StreamKey) -> KnownBand:
    """Return what *baseline* holds for *stream*."""
    law = baseline.get(stream.signal, stream.scorer_version)
    if law is None:
        return KnownBand()
    band = band_of(law, stream) if law.followed(stream.cohort, stream.policy_model) else None
    return KnownBand(band, law.unit, law.since)


def held_band(held: HeldBaseline, known: KnownBand, added: datetime | None) -> HeldBand | None:
    """Return the stretch in which *known* held; *added* is when the law was, None for with all others or long ago."""
    since = held.since if added is None else max(held.since, added)
    if known.band is None or (held.until is not None and since >= held.until):
        return None
    return HeldBand(held.baseline_id, since, held.until, known.band)


def about(signals: SignalSet, name: str) -> tuple[str, str]:
    """Return unit and meaning of a signal; nothing where this program knows none of that name."""
    signal = signals.known.get(name)
    return ("", "") if signal is None else (signal.unit, signal.meaning)


def marks_of(
    alarms: Sequence[StoredAlarm],
    baselines: Sequence[FrozenBaseline],
    releases: Sequence[Released],
    models: Sequence[tuple[str, datetime]],
    *,
    since: datetime,
    until: datetime,
) -> tuple[HistoryMark, ...]:
    """Return what happened since <= at < until, oldest first; *models* with their first observation's time."""
    found = [mark for alarm in alarms for mark in _alarm_marks(alarm)]
    found += [
        HistoryMark(EventKind.BASELINE, row.created_at, f"baseline {row.baseline_id} frozen", by_wall=True)
        for row in baselines
    ]
    found += [HistoryMark(EventKind.RELEASE, at, f"first of {model}", by_wall=False) for model, at in models]
    for row in releases:
        kind = EventKind.ROLL_BACK if row.taken_back else EventKind.PROMOTION
        said = f"{row.version} {'taken back' if row.taken_back else 'promoted'}"
        found.append(HistoryMark(kind, row.at, said, by_wall=True, job_id=row.job_id))
    inside = sorted((mark for mark in found if since <= mark.at < until), key=lambda mark: mark.at)
    return tuple(inside[-MAX_MARKS:])


def _alarm_marks(stored: StoredAlarm) -> list[HistoryMark]:
    alarm, number = stored.alarm, stored.alarm_id
    kind = EventKind(alarm.severity.value)
    marks = [
        HistoryMark(EventKind.ONSET, alarm.onset_timestamp, f"onset of alarm {number}", by_wall=False, alarm_id=number),
        HistoryMark(kind, alarm.timestamp, f"{alarm.severity}, alarm {number}", by_wall=False, alarm_id=number),
    ]
    if stored.recovered_at is not None:
        said = f"alarm {number} recovered"
        marks.append(HistoryMark(EventKind.RECOVERY, stored.recovered_at, said, by_wall=True, alarm_id=number))
    return marks
