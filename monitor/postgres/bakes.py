"""The bake windows: begun with the promotion, counted as traces come, ended once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, func, insert, null, select, text, update

from monitor.domain.alarm import AlarmState, StoredAlarm
from monitor.domain.release import Bake, BakeState
from monitor.postgres import schema
from monitor.postgres.alarm_row import stored_alarm
from monitor.postgres.document import clean
from monitor.postgres.engine import transaction
from monitor.postgres.log import log_end
from monitor.runs.model import ModelRole

_BAKE = schema.bake.c
_OPEN = [state for state in BakeState if state.is_open]
MAX_ENTRIES = 2_000  # of the log, counted at once
# A trace is one place of an entry. Of a version's signals the one that most of its traces have counts.
_COUNT = text(
    "with new as ("
    "  select entry_id, sequence, source from log_entry where sequence >= :next order by sequence limit :limit"
    "), seen as ("
    "  select max(of_signal) as traces from new, lateral ("
    "    select sum(length(ordinals) / 4) as of_signal from observation_batch b where b.entry_id = new.entry_id"
    "      and case when :is_policy then b.policy_model else b.scorer_version end = :name group by b.signal"
    "  ) as counted where source = 'traces' group by new.entry_id"
    ") select coalesce((select sum(traces) from seen), 0) as traces, (select max(sequence) + 1 from new) as next"
)


class PostgresBakes:
    """`retraining.work.Bakes` within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def begin(self, job_id: int, *, role: str, version: str, observed_as: str, former: str | None, traces: int) -> None:
        end = log_end(self._connection)
        row = {
            "job_id": job_id,
            "role": role,
            "version": version,
            "observed_as": observed_as,
            "former": former,
            "state": BakeState.BAKING,
            "start_place": end.next_place,
            "next_sequence": end.next_sequence,
            "traces_wanted": traces,
        }
        self._connection.execute(insert(schema.bake).values(row))

    def of_job(self, job_id: int) -> Bake | None:
        query = select(schema.bake).where(_BAKE.job_id == job_id).with_for_update()
        row = self._connection.execute(query).one_or_none()
        return None if row is None else _bake(row)

    def end(self, job_id: int, state: BakeState, *, reason: str, alarm_id: int | None = None) -> None:
        ended = null() if state.is_open else func.now()
        values = {"state": state, "reason": clean(reason), "alarm_id": alarm_id, "ended_at": ended}
        self._connection.execute(update(schema.bake).where(_BAKE.job_id == job_id).values(values))

    def end_others(self, role: str, job_id: int) -> None:
        others = _BAKE.role == role, _BAKE.state.in_(_OPEN), _BAKE.job_id != job_id
        values = {"state": BakeState.ENDED, "reason": f"job {job_id} was promoted", "ended_at": func.now()}
        self._connection.execute(update(schema.bake).where(*others).values(values))


class BakeLog:
    """`retraining.bake.BakeFacts`, and what operators see of bakes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def counted(self) -> tuple[Bake, ...]:
        with transaction(self._engine) as connection:
            rows = connection.execute(select(schema.bake).where(_BAKE.state.in_(_OPEN)).with_for_update()).all()
            return tuple(_count(connection, row) for row in rows)

    def alarms(self, bake: Bake) -> tuple[StoredAlarm, ...]:
        table = schema.alarm.c
        live = [state for state in AlarmState if state.is_live]
        return self._alarms(bake, bake.observed_as, table.state.in_(live), table.place >= bake.start_place)

    def former_alarms(self, bake: Bake) -> tuple[StoredAlarm, ...]:
        if bake.former is None:
            return ()
        table = schema.alarm.c
        lasted = table.recovered_at.is_(None) | (table.recovered_at > bake.started_at)
        return self._alarms(bake, bake.former, table.place < bake.start_place, lasted)

    def _alarms(self, bake: Bake, name: str, *chosen: ColumnElement[bool]) -> tuple[StoredAlarm, ...]:
        table, active = schema.alarm.c, select(schema.baseline.c.baseline_id).where(schema.baseline.c.active)
        named = table.policy_model if bake.role == ModelRole.POLICY else table.scorer_version
        current = table.baseline_id.is_(None) | (table.baseline_id == active.scalar_subquery())
        query = select(schema.alarm).where(named == name, current, *chosen).order_by(table.alarm_id)
        with transaction(self._engine) as connection:
            return tuple(map(stored_alarm, connection.execute(query).all()))

    def bake(self, job_id: int) -> Bake | None:
        with transaction(self._engine) as connection:
            row = connection.execute(select(schema.bake).where(_BAKE.job_id == job_id)).one_or_none()
        return None if row is None else _bake(row)

    def open_bakes(self) -> tuple[Bake, ...]:
        with transaction(self._engine) as connection:
            rows = connection.execute(select(schema.bake).where(_BAKE.state.in_(_OPEN)).order_by(_BAKE.job_id)).all()
        return tuple(map(_bake, rows))


def _count(connection: Connection, row: Row[Any]) -> Bake:
    """Add what new entries of the log hold of a bake's version, once."""
    asked = {
        "next": row.next_sequence,
        "limit": MAX_ENTRIES,
        "is_policy": row.role == ModelRole.POLICY,
        "name": row.observed_as,
    }
    found = connection.execute(_COUNT, asked).one()
    if found.next is None:
        return _bake(row)
    values = {"traces_seen": _BAKE.traces_seen + found.traces, "next_sequence": found.next}
    counted = update(schema.bake).where(_BAKE.job_id == row.job_id).values(values).returning(schema.bake)
    return _bake(connection.execute(counted).one())


def _bake(row: Row[Any]) -> Bake:
    return Bake(
        job_id=row.job_id,
        role=row.role,
        version=row.version,
        observed_as=row.observed_as,
        state=BakeState(row.state),
        started_at=row.started_at,
        start_place=row.start_place,
        traces_wanted=row.traces_wanted,
        traces_seen=row.traces_seen,
        alarm_id=row.alarm_id,
        reason=row.reason,
        ended_at=row.ended_at,
        former=row.former,
    )
