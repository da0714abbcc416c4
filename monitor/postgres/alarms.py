"""Alarms in PostgreSQL."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, func, insert, select, text, update

from monitor.domain.alarm import (
    Alarm,
    AlarmKind,
    AlarmState,
    Recovery,
    ReferenceVerdict,
    ScorerVerdict,
    Severity,
    StoredAlarm,
)
from monitor.domain.cohort import ALL
from monitor.domain.incident import RECENT_PLACES, coincide, likely_causes
from monitor.domain.observation import moment_of
from monitor.domain.order import Actor, AlarmOrder, target_of
from monitor.domain.stream import StreamKey
from monitor.errors import NotFound
from monitor.postgres import schema
from monitor.postgres.alarm_row import numbered_alarms, stored_alarm
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.document import clean, document
from monitor.postgres.engine import transaction
from monitor.postgres.incidents import LIVE, hold_incidents, move_alarms, noted, settle
from monitor.retraining.records import AlarmFact, Author
from monitor.runs.model import ModelRole

MAX_OPEN = 10_000
STREAM = ("baseline_id", "signal", "cohort", "policy_model", "scorer_version")
MAX_COINCIDENT = 10
DAEMON = Author("controller", "daemon")
# When a model came: at its first place, unless that is one of the oldest looked at, or nothing is older.
_POLICY_SINCE = text(
    "with seen as ("
    "  select e.entry_id, e.first_place, b.policy_model, e.first_place + get_byte(b.ordinals, 0)"
    "    + (get_byte(b.ordinals, 1) << 8) + (get_byte(b.ordinals, 2) << 16) + (get_byte(b.ordinals, 3) << 24) as place"
    "  from log_entry e join observation_batch b using (entry_id) where e.source = 'traces'"
    "  and e.first_place > :start and e.first_place <= :stop and e.sequence is not null and length(b.ordinals) > 0"
    ") select substring(s.timestamps from (8 * (place - first_place))::int + 1 for 8)"
    " from seen join log_subject s using (entry_id)"
    " where policy_model = :model and place between :recent and :stop"
    "   and place = (select min(place) from seen where policy_model = :model)"
    "   and place > (select min(place) from seen) limit 1"
)


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
    bounds = {
        "model": alarm.stream.policy_model,
        "start": alarm.onset_place - 2 * RECENT_PLACES,
        "recent": alarm.onset_place - RECENT_PLACES,
        "stop": alarm.place,
    }
    since = connection.execute(_POLICY_SINCE, bounds).scalar_one_or_none()
    values["policy_since"] = None if since is None else moment_of(int.from_bytes(since, "little", signed=True))
    connection.execute(insert(schema.alarm).values(asdict(alarm.stream) | values))


def recover_alarm(connection: Connection, baseline_id: int, recovery: Recovery) -> list[int | None]:
    """End the episode whose stream has recovered; return the incidents that are touched."""
    live = schema.alarm.c.state.in_([state for state in AlarmState if state.is_live])
    ended = {
        "state": AlarmState.RECOVERED,
        "recovered_at": func.now(),
        "recovered_place": recovery.place,
        "snoozed_until": None,
    }
    same = _of_episode(baseline_id, recovery.kind, recovery.stream, recovery.episode)
    changed = update(schema.alarm).where(*same, live).values(ended).returning(schema.alarm.c.incident_id)
    return list(connection.execute(changed).scalars())


def supersede_alarms(connection: Connection) -> None:
    """End every alarm against a baseline: another one takes its place."""
    before = schema.alarm.c.state != AlarmState.SUPERSEDED, schema.alarm.c.baseline_id.is_not(None)
    hold_incidents(connection)
    ended = update(schema.alarm).where(*before).values(state=AlarmState.SUPERSEDED, snoozed_until=None)
    settle(connection, connection.execute(ended.returning(schema.alarm.c.incident_id)).scalars().all())


def _of_episode(baseline_id: int, kind: AlarmKind, stream: StreamKey, episode: int) -> list[ColumnElement[bool]]:
    table = schema.alarm.c
    same = [table[name] == value for name, value in asdict(stream).items()]
    under = table.baseline_id == baseline_id if kind.against_baseline else table.baseline_id.is_(None)
    return [under, table.kind == kind, table.episode == episode, *same]


class PostgresAlarms:
    """Reads and acknowledges alarms."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def alarms(self, *, state: AlarmState | None, limit: int, before: int | None = None) -> tuple[StoredAlarm, ...]:
        """Return the newest alarms first; those in *state*, and numbered below *before*, where they are given."""
        query = select(schema.alarm).order_by(schema.alarm.c.alarm_id.desc()).limit(limit)
        if state is not None:
            query = query.where(schema.alarm.c.state == state)
        if before is not None:
            query = query.where(schema.alarm.c.alarm_id < before)
        with transaction(self._engine) as connection:
            return numbered_alarms(connection, connection.execute(query))

    def alarm(self, alarm_id: int) -> StoredAlarm | None:
        with transaction(self._engine) as connection:
            rows = connection.execute(select(schema.alarm).where(schema.alarm.c.alarm_id == alarm_id)).all()
            return next(iter(numbered_alarms(connection, rows)), None)

    def coincident(self, stored: StoredAlarm) -> tuple[StoredAlarm, ...]:
        """Return the input shifts, of its cohort and of all, that were there between an alarm's onset and decision."""
        table, alarm = schema.alarm.c, stored.alarm
        query = select(schema.alarm).where(
            table.kind == AlarmKind.INPUT_SHIFT,
            table.baseline_id == stored.baseline_id,
            table.cohort.in_((ALL, alarm.stream.cohort)),
            table.onset_place <= alarm.place,
            table.recovered_place.is_(None) | (table.recovered_place >= alarm.onset_place),
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(query.order_by(table.place.desc()).limit(MAX_COINCIDENT)).all()
        return tuple(stored_alarm(row) for row in rows)

    def open_alarms(self) -> tuple[StoredAlarm, ...]:
        """Return the open alarms, newest first, as many as anybody can look at."""
        return self.alarms(state=AlarmState.OPEN, limit=MAX_OPEN)

    def order_alarm(
        self, alarm_id: int, order: AlarmOrder, *, actor: Actor, snooze: timedelta = timedelta(0), note: str = ""
    ) -> StoredAlarm:
        """Carry out *order* on one alarm; *snooze* is how long, from now.

        Raises `NotFound`, and `Conflict` where the alarm's state does not allow it.
        """
        chosen = schema.alarm.c.alarm_id == alarm_id
        with transaction(self._engine) as connection:
            hold_incidents(connection)
            row = connection.execute(select(schema.alarm).where(chosen)).first()
            if row is None:
                raise NotFound(f"alarm {alarm_id}: no such alarm")
            state = target_of(f"alarm {alarm_id}", AlarmState(row.state), order)
            until = connection.execute(select(func.now() + snooze)).scalar_one()
            move_alarms(connection, chosen, state, by=actor.name, until=until)
            by, detail = Author(actor.name, actor.role), noted(note, until if snooze else None)
            PostgresAudit(connection).record(f"alarm.{order}", f"alarm {alarm_id}", by=by, detail=detail)
            (after,) = numbered_alarms(connection, connection.execute(select(schema.alarm).where(chosen)))
            return after

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
            hold_incidents(connection)
            judged = update(schema.alarm).where(chosen).values(values).returning(schema.alarm)
            row = connection.execute(judged).one_or_none()
            if row is None:
                raise NotFound(f"alarm {alarm_id}: no such alarm")
            settle(connection, [row.incident_id])
            if by is not DAEMON:
                detail = {"verdict": verdict, "note": note}
                PostgresAudit(connection).record(f"alarm.{about}_verdict", f"alarm {alarm_id}", by=by, detail=detail)
            return stored_alarm(row)


class PostgresAlarmFacts:
    """`retraining.work.Alarms` within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def hand_over(self, former: str, successor: str, *, role: str) -> None:
        table = schema.alarm.c
        named = table.policy_model if role == ModelRole.POLICY else table.scorer_version
        hand_over_alarms(self._connection, named == former, named == successor)

    def facts(self) -> tuple[AlarmFact, ...]:
        table, incident, stream = schema.alarm.c, schema.incident.c, schema.detector.c
        same = [table[name] == stream[name] for name in STREAM]
        query = (
            select(schema.alarm, incident.state.label("incident_state"), stream.last_timestamp)
            .outerjoin(schema.incident, incident.incident_id == table.incident_id)
            .outerjoin(schema.detector, and_(*same))
            .where(table.state.in_(LIVE), table.kind.in_((AlarmKind.DRIFT, AlarmKind.INPUT_SHIFT)))
        )
        rows = [(stored_alarm(row), row) for row in self._connection.execute(query)]
        shifts = [stored for stored, _ in rows if stored.alarm.kind is AlarmKind.INPUT_SHIFT]
        return tuple(
            AlarmFact(
                alarm_id=stored.alarm_id,
                signal=stored.alarm.stream.signal,
                severity=stored.alarm.severity,
                state=stored.state,
                created_at=stored.created_at,
                incident_id=stored.incident_id,
                incident_state=AlarmState(row.incident_state or stored.state),
                causes=likely_causes([stored, *(shift for shift in shifts if coincide(stored, shift))]),
                reference_verdict=stored.reference_verdict,
                scorer_verdict=stored.scorer_verdict,
                seen_at=row.last_timestamp,
            )
            for stored, row in rows
            if stored.alarm.kind is AlarmKind.DRIFT
        )


def hand_over_alarms(connection: Connection, former: ColumnElement[bool], successor: ColumnElement[bool]) -> None:
    """Supersede the live alarms of the *former* streams; open again what goes on of the *successor*'s."""
    table, baseline, stream = schema.alarm.c, schema.baseline.c, schema.detector.c
    # A fold's step holds the baseline until its alarms are stored; it either ends before or sees the new pointer.
    active = select(baseline.baseline_id).where(baseline.active).with_for_update(key_share=True)
    baseline_id = connection.execute(active).scalar_one_or_none()
    live = [state for state in AlarmState if state.is_live]
    hold_incidents(connection)
    touched = [update(schema.alarm).where(former, table.state.in_(live)).values(state=AlarmState.SUPERSEDED)]
    open_episode = "signal", "cohort", "policy_model", "scorer_version", "baseline_id", "episode", "severity"
    goes_on = [table[name] == stream[name] for name in open_episode]
    superseded = table.state == AlarmState.SUPERSEDED
    snoozed, unseen = table.snoozed_until.is_not(None), table.acknowledged_by.is_(None)
    seen = case((snoozed, AlarmState.SNOOZED), (unseen, AlarmState.OPEN), else_=AlarmState.ACKNOWLEDGED)
    of_successor = successor, table.baseline_id == baseline_id
    touched.append(update(schema.alarm).where(*of_successor, superseded, *goes_on).values(state=seen))
    for change in touched:
        settle(connection, connection.execute(change.returning(table.incident_id)).scalars().all())
