"""The roll-ups in PostgreSQL: the log as they read it, and each step's sums with how far the log is in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, text

from monitor.domain.cohort import OTHER
from monitor.domain.observation import ObservationBatch, Series
from monitor.domain.stream import StreamKey
from monitor.drift.rollup import Bucket, BucketKey, Seen
from monitor.errors import Fenced
from monitor.postgres.binary import array_of_texts
from monitor.postgres.copy import driver_of
from monitor.postgres.engine import transaction

MAX_POLICY_MODELS = 200  # kept apart at once; a producer that makes names up fills no table
_POSITION = text(  # a log that was there before is read from what can still be kept
    "select coalesce((select next_sequence from rollup_position where name = 'log'),"
    " (select min(sequence) from log_entry where sequence is not null"
    "   and (:days = 0 or created_at >= now() - make_interval(days => :days))), 1) as sequence,"
    " extract(epoch from now() - make_interval(days => :days))::bigint as since"
)
_ENTRIES = text(
    "select entry_id, sequence, places from log_entry where sequence >= :sequence order by sequence limit 500"
)
_BATCHES = text(
    "select b.entry_id, b.signal, b.policy_model, b.scorer_version, b.cohorts, b.cohort_codes, b.ordinals, b.values"
    " from log_entry e join observation_batch b using (entry_id) where entry_id = any(:entry_ids) order by e.sequence"
)
_TIMESTAMPS = text("select entry_id, timestamps from log_subject where entry_id = any(:entry_ids)")
_ADVANCE = text(
    "insert into rollup_position as p (name, next_sequence) values ('log', :stop)"
    " on conflict (name) do update set next_sequence = :stop where p.next_sequence = :start"
)
_MODELS = text("select distinct policy_model from stream")
_KEYS = "unnest(%b::text[], %b::text[], %b::text[], %b::text[]) as k(signal, cohort, policy_model, scorer_version)"
_STREAMS = (
    f"select stream_id, signal, cohort, policy_model, scorer_version from stream join {_KEYS}"  # noqa: S608
    " using (signal, cohort, policy_model, scorer_version)"
)
_NEW_STREAMS = (
    "insert into stream (signal, cohort, policy_model, scorer_version)"  # noqa: S608
    f" select signal, cohort, policy_model, scorer_version from {_KEYS}"
    " on conflict do nothing returning stream_id, signal, cohort, policy_model, scorer_version"
)
_KNOWN = (
    "select r.stream_id, r.width_seconds, extract(epoch from r.start)::bigint as start, r.observations, r.total,"
    " r.low, r.high, r.sketch from unnest(%b::bigint[], %b::int[], %b::bigint[]) as k(stream_id, width, start)"
    " join stream_rollup r"
    " on r.stream_id = k.stream_id and r.width_seconds = k.width and r.start = to_timestamp(k.start)"
)
_SAVE = (
    "insert into stream_rollup (stream_id, width_seconds, start, observations, total, low, high, sketch)"
    " select stream_id, width, to_timestamp(start), observations, total, low, high, sketch from unnest(%b::bigint[],"
    " %b::int[], %b::bigint[], %b::bigint[], %b::float8[], %b::float8[], %b::float8[], %b::bytea[])"
    " as k(stream_id, width, start, observations, total, low, high, sketch)"
    " on conflict (stream_id, width_seconds, start) do update set observations = excluded.observations,"
    " total = excluded.total, low = excluded.low, high = excluded.high, sketch = excluded.sketch"
)


@dataclass(frozen=True, slots=True)
class Unread:
    """A stretch of the log that is in no roll-up yet: the entries start <= sequence < stop."""

    start: int
    stop: int
    seen: tuple[Seen, ...]
    more: bool  # follows it
    since: int | None  # seconds since 1970, before which nothing is kept


class PostgresRollups:
    """What the leader reads and adds to; *days* are kept, 0 is for ever."""

    def __init__(self, engine: Engine, *, days: int) -> None:
        self._engine = engine
        self._days = days

    def unread(self, *, max_places: int) -> Unread | None:
        """Return the next entries, at least one and else of *max_places* at most; None where all are read."""
        with transaction(self._engine) as connection:
            position = connection.execute(_POSITION, {"days": self._days}).one()
            rows = connection.execute(_ENTRIES, {"sequence": position.sequence}).all()
            fits = np.cumsum([row.places for row in rows]) <= max_places
            chosen = rows[: max(int(fits.sum()), 1)]
            if not chosen:
                return None
            entries = {"entry_ids": [row.entry_id for row in chosen if row.places]}
            timestamps = {row.entry_id: row.timestamps for row in connection.execute(_TIMESTAMPS, entries)}
            batches = connection.execute(_BATCHES, entries).all()
        return Unread(
            start=position.sequence,
            stop=chosen[-1].sequence + 1,
            seen=tuple(_seen(row, timestamps[row.entry_id]) for row in batches),
            more=len(chosen) < len(rows),
            since=position.since if self._days else None,
        )

    def save(self, unread: Unread, buckets: Mapping[BucketKey, Bucket]) -> None:
        """Add *buckets* of the stretch *unread*, once; raises `Fenced` where another leader has read it meanwhile."""
        with transaction(self._engine) as connection:
            if connection.execute(_ADVANCE, {"start": unread.start, "stop": unread.stop}).rowcount != 1:
                raise Fenced(f"roll-ups: the log is not read up to entry {unread.start} any more")
            if buckets:
                _add(connection, _capped(connection, buckets))


def decode_sketch(sketch: bytes) -> tuple[np.ndarray[Any, np.dtype[np.int16]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Return the bins and their counts."""
    bins = len(sketch) // 6
    codes = np.frombuffer(sketch, "<i2", bins)
    return codes, np.frombuffer(sketch, "<i4", bins, 2 * bins).astype(np.int64)


def _seen(row: Row[Any], timestamps: bytes) -> Seen:
    batch = ObservationBatch(
        series=Series(row.signal, row.policy_model, row.scorer_version),
        cohorts=tuple(row.cohorts),
        cohort_codes=np.frombuffer(row.cohort_codes, dtype="<i4"),
        places=np.frombuffer(row.ordinals, dtype="<i4").astype(np.int64),
        values=np.frombuffer(row.values, dtype="<f8"),
    )
    return Seen(batch, np.frombuffer(timestamps, dtype="<i8"))


def _capped(connection: Connection, buckets: Mapping[BucketKey, Bucket]) -> Mapping[BucketKey, Bucket]:
    """Return *buckets*, those of policy models past the cap under one name."""
    known = set(connection.execute(_MODELS).scalars())
    new = sorted({key.stream.policy_model for key in buckets} - known)
    past = set(new[max(MAX_POLICY_MODELS - len(known), 0) :])
    if not past:
        return buckets
    found: dict[BucketKey, Bucket] = {}
    for key, bucket in buckets.items():
        if key.stream.policy_model in past:
            key = replace(key, stream=replace(key.stream, policy_model=OTHER))  # noqa: PLW2901
        before = found.get(key)
        found[key] = bucket if before is None else before.merged(bucket)
    return found


def _add(connection: Connection, buckets: Mapping[BucketKey, Bucket]) -> None:
    numbers = _numbers(connection, {key.stream for key in buckets})
    new = {(numbers[key.stream], key.width_seconds, key.start): bucket for key, bucket in buckets.items()}
    columns = [list(column) for column in zip(*new, strict=True)]
    for row in driver_of(connection).execute(_KNOWN, columns).fetchall():
        place, (count, total, low, high, sketch) = row[:3], row[3:]
        new[place] = Bucket(count, total, low, high, *decode_sketch(sketch)).merged(new[place])
    rows = sorted(new.items())
    values = zip(*(_values(bucket) for _, bucket in rows), strict=True)
    keys = zip(*(place for place, _ in rows), strict=True)
    driver_of(connection).execute(_SAVE, [list(column) for column in (*keys, *values)])


def _values(bucket: Bucket) -> tuple[int, float, float, float, bytes]:
    sketch = bucket.codes.astype("<i2").tobytes() + bucket.counts.astype("<i4").tobytes()
    return bucket.count, bucket.total, bucket.low, bucket.high, sketch


def _numbers(connection: Connection, streams: Iterable[StreamKey]) -> dict[StreamKey, int]:
    """Return each stream's number, a new one for a new stream."""
    wanted = sorted(streams)
    found = {StreamKey(*row[1:]): int(row[0]) for row in driver_of(connection).execute(_STREAMS, _columns(wanted))}
    new = [key for key in wanted if key not in found]
    if new:
        made = driver_of(connection).execute(_NEW_STREAMS, _columns(new))
        found |= {StreamKey(*row[1:]): int(row[0]) for row in made}
    return found


def _columns(keys: Sequence[StreamKey]) -> list[object]:
    names = ("signal", "cohort", "policy_model", "scorer_version")
    return [array_of_texts([getattr(key, name) for key in keys]) for name in names]
