"""Alarms in PostgreSQL."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, case, func, insert, select, update

from monitor.domain.alarm import Alarm, AlarmState, Direction, Effect, Recovery, Severity, StoredAlarm
from monitor.domain.job import Action
from monitor.domain.order import Actor
from monitor.domain.stream import StreamKey
from monitor.errors import Conflict, NotFound
from monitor.postgres import schema
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.engine import transaction
from monitor.retraining.records import AlarmFact, Author

MAX_OPEN = 10_000


def insert_alarm(connection: Connection, baseline_id: int, alarm: Alarm, state: AlarmState = AlarmState.OPEN) -> None:
    """Store *alarm*; an alert takes the place of its stream's warning."""
    if alarm.severity is Severity.ALERT:
        warning = schema.alarm.c.severity == Severity.WARNING
        same = _of_episode(baseline_id, alarm.stream, alarm.episode)
        connection.execute(update(schema.alarm).where(*same, warning).values(state=AlarmState.SUPERSEDED))
    values = {
        "baseline_id": baseline_id,
        "state": state,
        "severity": alarm.severity,
        "episode": alarm.episode,
        "direction": alarm.direction,
        "place": alarm.place,
        "trace_id": alarm.trace_id,
        "timestamp": alarm.timestamp,
        "onset_place": alarm.onset_place,
        "onset_timestamp": alarm.onset_timestamp,
        "observations": alarm.observations,
        "evidence_log": alarm.evidence_log,
        "effect_estimate": alarm.effect.estimate,
        "effect_lower": alarm.effect.lower,
        "effect_upper": alarm.effect.upper,
        "effect_unit": alarm.effect.unit,
        "examples": list(alarm.examples),
    }
    connection.execute(insert(schema.alarm).values(asdict(alarm.stream) | values))


def recover_alarm(connection: Connection, baseline_id: int, recovery: Recovery) -> None:
    """End the episode whose stream has recovered."""
    seen = schema.alarm.c.state.in_((AlarmState.OPEN, AlarmState.ACKNOWLEDGED))
    connection.execute(
        update(schema.alarm)
        .where(*_of_episode(baseline_id, recovery.stream, recovery.episode), seen)
        .values(state=AlarmState.RECOVERED, recovered_at=func.now(), recovered_place=recovery.place)
    )


def _of_episode(baseline_id: int, stream: StreamKey, episode: int) -> list[ColumnElement[bool]]:
    table = schema.alarm.c
    same = [table[name] == value for name, value in asdict(stream).items()]
    return [table.baseline_id == baseline_id, table.episode == episode, *same]


class PostgresAlarms:
    """Reads and acknowledges alarms."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def alarms(self, *, state: AlarmState | None, limit: int) -> tuple[StoredAlarm, ...]:
        """Return the newest alarms first, those in *state* where one is given."""
        query = select(schema.alarm).order_by(schema.alarm.c.alarm_id.desc()).limit(limit)
        if state is not None:
            query = query.where(schema.alarm.c.state == state)
        with transaction(self._engine) as connection:
            return tuple(_stored(row) for row in connection.execute(query))

    def alarm(self, alarm_id: int) -> StoredAlarm | None:
        with transaction(self._engine) as connection:
            row = connection.execute(select(schema.alarm).where(schema.alarm.c.alarm_id == alarm_id)).one_or_none()
        return _stored(row) if row is not None else None

    def open_alarms(self) -> tuple[StoredAlarm, ...]:
        """Return the open alarms, newest first, as many as anybody can look at."""
        return self.alarms(state=AlarmState.OPEN, limit=MAX_OPEN)

    def acknowledge(self, alarm_id: int, *, actor: Actor) -> StoredAlarm:
        """Mark an open alarm as seen; raises `NotFound`, and `Conflict` where it is not open."""
        table = schema.alarm.c
        with transaction(self._engine) as connection:
            row = connection.execute(select(schema.alarm).where(table.alarm_id == alarm_id).with_for_update()).first()
            if row is None:
                raise NotFound(f"alarm {alarm_id}: no such alarm")
            if row.state != AlarmState.OPEN:
                raise Conflict(f"alarm {alarm_id} is {row.state}; wanted one that is open")
            values = {"state": AlarmState.ACKNOWLEDGED, "acknowledged_by": actor.name}
            changed = update(schema.alarm).where(table.alarm_id == alarm_id).values(values).returning(schema.alarm)
            after = connection.execute(changed).one()
            by = Author(actor.name, actor.role)
            PostgresAudit(connection).record("alarm.acknowledge", f"alarm {alarm_id}", by=by, detail={})
            return _stored(after)


class PostgresAlarmFacts:
    """`retraining.work.Alarms` within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def hand_over(self, former: str, scorer: str) -> None:
        table, baseline, stream = schema.alarm.c, schema.baseline.c, schema.detector.c
        # A fold's step holds the baseline until its alarms are stored; it either ends before or sees the new pointer.
        active = select(baseline.baseline_id).where(baseline.active).with_for_update(key_share=True)
        baseline_id = self._connection.execute(active).scalar_one_or_none()
        live = table.state.not_in((AlarmState.RECOVERED, AlarmState.SUPERSEDED))
        of_former = update(schema.alarm).where(table.scorer_version == former, live)
        self._connection.execute(of_former.values(state=AlarmState.SUPERSEDED))
        open_episode = "signal", "cohort", "policy_model", "scorer_version", "baseline_id", "episode", "severity"
        goes_on = [table[name] == stream[name] for name in open_episode]
        superseded = table.state == AlarmState.SUPERSEDED
        seen = case((table.acknowledged_by.is_(None), AlarmState.OPEN), else_=AlarmState.ACKNOWLEDGED)
        of_scorer = update(schema.alarm).where(table.scorer_version == scorer, superseded, *goes_on)
        self._connection.execute(of_scorer.where(table.baseline_id == baseline_id).values(state=seen))

    def facts(self, action: Action) -> tuple[AlarmFact, ...]:
        table, job = schema.alarm.c, schema.job.c
        has_job = select(job.job_id).where(job.alarm_id == table.alarm_id, job.action == action).exists()
        query = select(schema.alarm, has_job.label("has_job")).where(table.state != AlarmState.SUPERSEDED)
        return tuple(
            AlarmFact(
                alarm_id=row.alarm_id,
                signal=row.signal,
                severity=Severity(row.severity),
                state=AlarmState(row.state),
                created_at=row.created_at,
                has_job=row.has_job,
            )
            for row in self._connection.execute(query)
        )


def _stored(row: Row[Any]) -> StoredAlarm:
    alarm = Alarm(
        stream=StreamKey(row.signal, row.cohort, row.policy_model, row.scorer_version),
        direction=Direction(row.direction),
        severity=Severity(row.severity),
        place=row.place,
        trace_id=row.trace_id,
        timestamp=row.timestamp,
        onset_place=row.onset_place,
        onset_timestamp=row.onset_timestamp,
        observations=row.observations,
        evidence_log=row.evidence_log,
        effect=Effect(row.effect_estimate, row.effect_lower, row.effect_upper, row.effect_unit),
        examples=tuple(row.examples),
        episode=row.episode,
    )
    state = AlarmState(row.state)
    return StoredAlarm(row.alarm_id, state, alarm, row.created_at, row.acknowledged_by, row.recovered_at)
