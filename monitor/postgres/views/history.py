"""A stream's roll-ups, and what is stored of the time that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, or_, select, text

from monitor.domain.alarm import StoredAlarm
from monitor.domain.episode import FrozenBaseline, Released
from monitor.domain.history import FINE, MAX_MARKS, HistoryRange, StreamName
from monitor.domain.observation import moment_of
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline
from monitor.drift.rollup import Bucket
from monitor.drift.stored import HeldBaseline
from monitor.postgres import schema
from monitor.postgres.alarm_row import stored_alarm
from monitor.postgres.engine import transaction
from monitor.postgres.rollups import decode_sketch
from monitor.postgres.views.alarm_page import MOMENTS, baselines_between, releases_between

MAX_RELATED = 200
MAX_BANDS = 20  # baselines in one range, the newest
_KEY = ("signal", "cohort", "policy_model", "scorer_version")
_BUCKETS = text(
    "select start, observations, total, low, high, sketch from stream_rollup where stream_id = :stream_id"
    " and width_seconds = :width and start >= :since and start < :until order by start"
)
_ENDS = text(
    "select min(start) as first, max(start) as last from stream_rollup"
    " where stream_id = :stream_id and width_seconds = :width"
)
_MODELS = text(  # of its signal and cohort, by their first observations that are kept
    "select policy_model, first from (select s.policy_model, min((select min(start) from stream_rollup r"
    "   where r.stream_id = s.stream_id and width_seconds = :width)) as first"
    "   from stream s where signal = :signal and cohort = :cohort group by s.policy_model) began"
    " where first >= :since and first < :until order by first"
)
# The clock's time of freezing, less how far the traces that came next lay behind the clock.
_FROZEN = text(
    "select baseline_id, revision, stop_place,"
    " created_at - coalesce((select e.created_at - e.last_timestamp from log_entry e"
    "   where e.source = 'traces' and e.first_place >= b.stop_place and e.created_at > b.created_at"
    "   order by e.first_place limit 1), interval '0') as since from baseline b order by baseline_id"
)
_LAWS = text(
    "select baseline_id, first_place, stop_place, jsonb_path_query_array(content, '$.signals[*] ?"
    " (@.signal == $signal && @.scorer_version == $scorer_version)', cast(:key as jsonb)) as laws"
    " from baseline where baseline_id = any(:ids) and jsonb_typeof(content) = 'object'"  # not of an earlier release
)
_SERVER_NOW = text("select now()")


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """What the database holds of one stream in a range of time."""

    stream: StreamName
    since: datetime
    until: datetime
    buckets: tuple[tuple[datetime, Bucket], ...]
    first: datetime | None
    last: datetime | None
    related: tuple[StreamName, ...]
    alarms: tuple[StoredAlarm, ...]
    baselines: tuple[FrozenBaseline, ...]
    releases: tuple[Released, ...]
    models: tuple[tuple[str, datetime], ...]
    held: tuple[HeldBaseline, ...]  # that were the active one then, oldest first


class PostgresHistory:
    """May be asked from many threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def number_of(self, key: StreamKey) -> int | None:
        """Return the number of a stream; None where nothing of it is rolled up."""
        table = schema.stream.c
        same = [table[name] == value for name, value in asdict(key).items()]
        with transaction(self._engine) as connection:
            number: int | None = connection.execute(select(table.stream_id).where(*same)).scalar_one_or_none()
        return number

    def knows(self, stream_id: int) -> bool:
        with transaction(self._engine) as connection:
            return _name(connection, stream_id) is not None

    def stored(self, stream_id: int, chosen: HistoryRange, until: datetime | None) -> StoredHistory | None:
        """Return what is stored of a stream up to *until*, or to now; None where there is no such stream."""
        with transaction(self._engine) as connection:
            name = _name(connection, stream_id)
            if name is None:
                return None
            end = chosen.until(until or connection.execute(_SERVER_NOW).scalar_one())
            begin = end - chosen.span
            span = {"stream_id": stream_id, "width": chosen.read_seconds, "since": begin, "until": end}
            rows = connection.execute(_BUCKETS, span).all()
            ends = connection.execute(_ENDS, span | {"width": FINE}).one()
            models = connection.execute(_MODELS, span | {"width": FINE} | asdict(name.key)).all()
            return StoredHistory(
                stream=name,
                since=begin,
                until=end,
                buckets=tuple((row.start, _bucket(row)) for row in rows),
                first=None if ends.first is None else ends.first.astimezone(UTC),
                last=None if ends.last is None else ends.last.astimezone(UTC),
                related=tuple(_related(connection, name)),
                alarms=tuple(_alarms(connection, name.key, begin, end)),
                baselines=tuple(baselines_between(connection, begin, end)),
                releases=tuple(releases_between(connection, begin, end)),
                models=tuple((row.policy_model, row.first.astimezone(UTC)) for row in models),
                held=tuple(_held(connection, begin, end)),
            )

    def laws(self, baselines: Sequence[int], key: StreamKey) -> list[tuple[int, Baseline]]:
        """Return *baselines* by number, each with its laws for *key*'s signal and scorer alone.

        Those of an earlier release, whose laws cannot be read, are left out.
        """
        if not baselines:
            return []
        chosen = msgspec.json.encode({"signal": key.signal, "scorer_version": key.scorer_version}).decode()
        with transaction(self._engine) as connection:
            rows = connection.execute(_LAWS, {"ids": list(baselines), "key": chosen}).all()
        content = {"prompts": None, "window_days": 1.0}
        return [
            (row.baseline_id, Baseline.from_json(row.first_place, row.stop_place, content | {"signals": row.laws}))
            for row in rows
        ]

    def moment_of(self, place: int) -> datetime | None:
        """Return the time of the trace at *place* of the log; None where that is forgotten."""
        with transaction(self._engine) as connection:
            return _moment(connection, place)


def _moment(connection: Connection, place: int) -> datetime | None:
    row = connection.execute(MOMENTS, {"places": [place]}).one_or_none()
    return None if row is None else moment_of(int.from_bytes(row.timestamp, "little", signed=True))


def _held(connection: Connection, begin: datetime, end: datetime) -> list[HeldBaseline]:
    frozen = connection.execute(_FROZEN).all()
    since = [row.since.astimezone(UTC) for row in frozen]
    for row in frozen[:1]:
        since[0] = _moment(connection, row.stop_place - 1) or since[0]
    spans = zip(frozen, since, [*since[1:], None], strict=False)
    held = [HeldBaseline(row.baseline_id, row.revision, start, stop) for row, start, stop in spans]
    inside = [one for one in held if one.since < end and (one.until is None or max(one.since, begin) < one.until)]
    return inside[-MAX_BANDS:]


def _bucket(row: Row[Any]) -> Bucket:
    codes, counts = decode_sketch(row.sketch)
    return Bucket(row.observations, row.total, row.low, row.high, codes, counts)


def _name(connection: Connection, stream_id: int) -> StreamName | None:
    table = schema.stream.c
    columns = (table.stream_id, *(table[name] for name in _KEY))
    row = connection.execute(select(*columns).where(table.stream_id == stream_id)).one_or_none()
    return None if row is None else StreamName(row.stream_id, StreamKey(*row[1:]))


def _related(connection: Connection, name: StreamName) -> list[StreamName]:
    table = schema.stream.c
    columns = (table.stream_id, *(table[one] for one in _KEY))
    others = table.signal == name.key.signal, table.stream_id != name.stream_id
    query = select(*columns).where(*others).order_by(*(table[one] for one in _KEY)).limit(MAX_RELATED)
    return [StreamName(row.stream_id, StreamKey(*row[1:])) for row in connection.execute(query)]


def _alarms(connection: Connection, key: StreamKey, since: datetime, until: datetime) -> list[StoredAlarm]:
    table = schema.alarm.c
    same = [table[name] == value for name, value in asdict(key).items()]
    times = (table.timestamp, table.onset_timestamp, table.recovered_at)
    near = or_(*(time.between(since, until) for time in times))
    query = select(schema.alarm).where(*same, near).order_by(table.alarm_id.desc()).limit(MAX_MARKS)
    return [stored_alarm(row) for row in connection.execute(query)]
