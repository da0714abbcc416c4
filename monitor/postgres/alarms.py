"""Alarms in PostgreSQL."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Row, case, func, insert, select, update

from monitor.domain.alarm import (
    Alarm,
    AlarmKind,
    AlarmState,
    Decomposition,
    Direction,
    Effect,
    Recovery,
    ReferenceVerdict,
    ScorerVerdict,
    Severity,
    StoredAlarm,
)
from monitor.domain.job import Action
from monitor.domain.order import Actor
from monitor.domain.stream import StreamKey
from monitor.errors import Conflict, NotFound
from monitor.postgres import schema
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.document import clean, document
from monitor.postgres.engine import transaction
from monitor.retraining.records import AlarmFact, Author

MAX_OPEN = 10_000
DAEMON = Author("controller", "daemon")


def insert_alarm(connection: Connection, baseline_id: int, alarm: Alarm, state: AlarmState = AlarmState.OPEN) -> None:
    """Store *alarm*; an alert takes the place of its stream's warning."""
    if alarm.severity is Severity.ALERT:
        warning = schema.alarm.c.severity == Severity.WARNING
        same = _of_episode(baseline_id, alarm.kind, alarm.stream, alarm.episode)
        connection.execute(update(schema.alarm).where(*same, warning).values(state=AlarmState.SUPERSEDED))
    effect = alarm.effect
    values = {
        "baseline_id": baseline_id if alarm.kind.against_baseline else None,
        "kind": alarm.kind,
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
        "effect_estimate": None if effect is None else effect.estimate,
        "effect_lower": None if effect is None else effect.lower,
        "effect_upper": None if effect is None else effect.upper,
        "effect_unit": None if effect is None else effect.unit,
        "examples": list(alarm.examples),
        "detail": clean(alarm.detail),
        "decomposition": None if alarm.decomposition is None else document(asdict(alarm.decomposition)),
    }
    connection.execute(insert(schema.alarm).values(asdict(alarm.stream) | values))


def recover_alarm(connection: Connection, baseline_id: int, recovery: Recovery) -> None:
    """End the episode whose stream has recovered."""
    live = schema.alarm.c.state.in_([state for state in AlarmState if state.is_live])
    connection.execute(
        update(schema.alarm)
        .where(*_of_episode(baseline_id, recovery.kind, recovery.stream, recovery.episode), live)
        .values(state=AlarmState.RECOVERED, recovered_at=func.now(), recovered_place=recovery.place)
    )


def _of_episode(baseline_id: int, kind: AlarmKind, stream: StreamKey, episode: int) -> list[ColumnElement[bool]]:
    table = schema.alarm.c
    same = [table[name] == value for name, value in asdict(stream).items()]
    under = table.baseline_id == baseline_id if kind.against_baseline else table.baseline_id.is_(None)
    return [under, table.kind == kind, table.episode == episode, *same]


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
            return tuple(stored_alarm(row) for row in connection.execute(query))

    def alarm(self, alarm_id: int) -> StoredAlarm | None:
        with transaction(self._engine) as connection:
            row = connection.execute(select(schema.alarm).where(schema.alarm.c.alarm_id == alarm_id)).one_or_none()
        return stored_alarm(row) if row is not None else None

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
            return stored_alarm(after)

    def set_reference_verdict(
        self, alarm_id: int, verdict: ReferenceVerdict, *, note: str = "", by: Author = DAEMON
    ) -> StoredAlarm:
        """Keep what asking again has told, in place of what it told before; raises `NotFound`."""
        return self._judge(alarm_id, "reference", verdict, note=note, by=by)

    def set_scorer_verdict(
        self, alarm_id: int, verdict: ScorerVerdict, *, note: str = "", by: Author = DAEMON
    ) -> StoredAlarm:
        """Keep what the anchor set has told, in place of what it told before; raises `NotFound`."""
        return self._judge(alarm_id, "scorer", verdict, note=note, by=by)

    def _judge(self, alarm_id: int, about: str, verdict: str, *, note: str, by: Author) -> StoredAlarm:
        values = {f"{about}_verdict": verdict, f"{about}_verdict_at": func.now(), f"{about}_note": clean(note)}
        chosen = schema.alarm.c.alarm_id == alarm_id
        with transaction(self._engine) as connection:
            row = connection.execute(
                update(schema.alarm).where(chosen).values(values).returning(schema.alarm)
            ).one_or_none()
            if row is None:
                raise NotFound(f"alarm {alarm_id}: no such alarm")
            if by is not DAEMON:
                detail = {"verdict": verdict, "note": note}
                PostgresAudit(connection).record(f"alarm.{about}_verdict", f"alarm {alarm_id}", by=by, detail=detail)
            return stored_alarm(row)


class PostgresAlarmFacts:
    """`retraining.work.Alarms` within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def hand_over(self, former: str, scorer: str) -> None:
        table, baseline, stream = schema.alarm.c, schema.baseline.c, schema.detector.c
        # A fold's step holds the baseline until its alarms are stored; it either ends before or sees the new pointer.
        active = select(baseline.baseline_id).where(baseline.active).with_for_update(key_share=True)
        baseline_id = self._connection.execute(active).scalar_one_or_none()
        live = [state for state in AlarmState if state.is_live]
        of_former = update(schema.alarm).where(table.scorer_version == former, table.state.in_(live))
        self._connection.execute(of_former.values(state=AlarmState.SUPERSEDED))
        open_episode = "signal", "cohort", "policy_model", "scorer_version", "baseline_id", "episode", "severity"
        goes_on = [table[name] == stream[name] for name in open_episode]
        superseded = table.state == AlarmState.SUPERSEDED
        snoozed, unseen = table.snoozed_until.is_not(None), table.acknowledged_by.is_(None)
        seen = case((snoozed, AlarmState.SNOOZED), (unseen, AlarmState.OPEN), else_=AlarmState.ACKNOWLEDGED)
        of_scorer = table.scorer_version == scorer, table.baseline_id == baseline_id
        self._connection.execute(update(schema.alarm).where(*of_scorer, superseded, *goes_on).values(state=seen))

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


def stored_alarm(row: Row[Any]) -> StoredAlarm:
    effect = (row.effect_estimate, row.effect_lower, row.effect_upper, row.effect_unit)
    alarm = Alarm(
        stream=StreamKey(row.signal, row.cohort, row.policy_model, row.scorer_version),
        direction=None if row.direction is None else Direction(row.direction),
        severity=Severity(row.severity),
        place=row.place,
        trace_id=row.trace_id,
        timestamp=row.timestamp,
        onset_place=row.onset_place,
        onset_timestamp=row.onset_timestamp,
        observations=row.observations,
        evidence_log=row.evidence_log,
        effect=None if row.effect_unit is None else Effect(*effect),
        examples=tuple(row.examples),
        episode=row.episode,
        kind=AlarmKind(row.kind),
        detail=row.detail,
        decomposition=None if row.decomposition is None else msgspec.convert(row.decomposition, Decomposition),
    )
    return StoredAlarm(
        alarm_id=row.alarm_id,
        state=AlarmState(row.state),
        alarm=alarm,
        created_at=row.created_at,
        acknowledged_by=row.acknowledged_by,
        recovered_at=row.recovered_at,
        snoozed_until=row.snoozed_until,
        incident_id=row.incident_id,
        reference_verdict=None if row.reference_verdict is None else ReferenceVerdict(row.reference_verdict),
        reference_verdict_at=row.reference_verdict_at,
        reference_note=row.reference_note,
        scorer_verdict=None if row.scorer_verdict is None else ScorerVerdict(row.scorer_verdict),
        scorer_verdict_at=row.scorer_verdict_at,
        scorer_note=row.scorer_note,
    )
