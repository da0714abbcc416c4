"""The log as the watch reads it: who sent when. And what it knows of the senders, between two leaders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Engine, Row, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.alarm import AlarmKind, AlarmState
from monitor.domain.observation import Source
from monitor.domain.stream import StreamKey
from monitor.drift.arrivals import KINDS, Arrivals, Outcome, RaisedBefore
from monitor.postgres import schema
from monitor.postgres.alarm_row import stored_alarm
from monitor.postgres.alarms import insert_alarm, recover_alarm
from monitor.postgres.engine import transaction
from monitor.postgres.incidents import file_alarms, hold_incidents, settle
from monitor.postgres.log import log_end
from monitor.postgres.streams import hold_freezes
from monitor.signals.set import DEFAULT, SignalSet

_ARRIVALS = text(
    "select e.sequence, e.source, e.created_at, e.first_place + e.places as next_place, e.places, e.last_timestamp,"
    " coalesce(c.duplicates, 0) as duplicates, b.signal, b.policy_model, b.scorer_version, b.cohorts, b.cohort_codes"
    " from log_entry e left join checkpoint c using (entry_id) left join observation_batch b using (entry_id)"
    " where e.sequence >= :sequence and e.sequence < :sequence + :limit order by e.sequence"
)
_OFFSETS = text("select topic || '/' || partition as name, next_offset from consumer_offset where group_id = :group_id")


class PostgresArrivals:
    """What the watch reads, and where it keeps what it knows."""

    def __init__(self, engine: Engine, *, group_id: str, signals: SignalSet = DEFAULT) -> None:
        self._engine = engine
        self._signals = signals
        self._group_id = group_id

    def stored(self) -> bytes | None:
        """Return what `save` was given last."""
        with transaction(self._engine) as connection:
            return connection.execute(select(schema.watch_state.c.content)).scalar_one_or_none()

    def next_sequence(self) -> int:
        """Return the sequence of the entry that is placed next."""
        with transaction(self._engine) as connection:
            return log_end(connection).next_sequence

    def arrivals(self, sequence: int, *, limit: int) -> list[Arrivals]:
        """Return at most *limit* entries from *sequence* on, in the log's order; those retention took are left out."""
        with transaction(self._engine) as connection:
            rows = connection.execute(_ARRIVALS, {"sequence": sequence, "limit": limit}).all()
        return [_arrivals(list(group), self._signals) for _, group in groupby(rows, key=lambda row: row.sequence)]

    def now(self) -> datetime:
        """Return the time by the database's clock, which tells the log's."""
        with transaction(self._engine) as connection:
            now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return now.astimezone(UTC)

    def offsets(self) -> dict[str, int]:
        """Return how far each partition is stored, by topic and number."""
        with transaction(self._engine) as connection:
            rows = connection.execute(_OFFSETS, {"group_id": self._group_id}).all()
        return {row.name: row.next_offset for row in rows}

    def raised(self) -> RaisedBefore:
        """Return the watch's alarms, those about the active baseline where they are about one."""
        alarm, baseline = schema.alarm.c, schema.baseline.c
        active = select(baseline.baseline_id).where(baseline.active).scalar_subquery()
        mine = alarm.kind.in_(KINDS) & or_(alarm.baseline_id.is_(None), alarm.baseline_id == active)
        key = alarm.signal, alarm.cohort, alarm.policy_model, alarm.scorer_version
        live = alarm.state.in_([state for state in AlarmState if state.is_live])
        with transaction(self._engine) as connection:
            rows = connection.execute(select(schema.alarm).where(mine, live).order_by(alarm.alarm_id)).all()
            last = select(alarm.kind, *key, func.max(alarm.episode)).where(mine).group_by(alarm.kind, *key)
            episodes = connection.execute(last).all()
        return RaisedBefore(
            tuple(stored_alarm(row).alarm for row in rows),
            {(AlarmKind(row[0]), StreamKey(*row[1:5])): row[5] + 1 for row in episodes},
        )

    def save(self, content: bytes, outcome: Outcome | None = None) -> None:
        """Keep *content* and make *outcome* true, in one transaction.

        Alarms about a baseline that was replaced meanwhile are dropped.
        """
        statement = upsert(schema.watch_state).values(name="arrivals", content=content, saved_at=func.now())
        changed = {"content": statement.excluded.content, "saved_at": statement.excluded.saved_at}
        statement = statement.on_conflict_do_update(constraint=schema.watch_state.primary_key, set_=changed)
        with transaction(self._engine) as connection:
            connection.execute(statement)
            if outcome is None:
                return
            hold_freezes(connection)
            table = schema.baseline.c
            active = connection.execute(select(table.baseline_id).where(table.active)).scalar_one_or_none()
            hold_incidents(connection)
            under = outcome.baseline_id or 0
            for alarm in outcome.alarms:
                if not alarm.kind.against_baseline or outcome.baseline_id == active:
                    insert_alarm(connection, under, alarm)
            ended = [recover_alarm(connection, under, recovery) for recovery in outcome.recoveries]
            file_alarms(connection, outcome.filing)
            settle(connection, [number for touched in ended for number in touched])


def _arrivals(rows: Sequence[Row[Any]], signals: SignalSet) -> Arrivals:
    """Return the entry of *rows*, one a batch; only traces are arrivals, and only signals that are watched."""
    head, seen = rows[0], dict[StreamKey, int]()
    of_traces = head.source == Source.TRACES
    for row in rows:
        if not of_traces or not signals.holds(row.signal, row.scorer_version):
            continue
        counts = np.bincount(np.frombuffer(row.cohort_codes, dtype="<i4"), minlength=len(row.cohorts))
        for cohort, count in zip(row.cohorts, counts.tolist(), strict=True):
            seen[StreamKey(row.signal, cohort, row.policy_model, row.scorer_version)] = count
    return Arrivals(
        sequence=head.sequence,
        next_place=head.next_place,
        at=head.created_at.astimezone(UTC),
        traces=head.places if of_traces else 0,
        duplicates=head.duplicates,
        last_timestamp=head.last_timestamp.astimezone(UTC) if of_traces and head.last_timestamp is not None else None,
        seen=seen,
    )
