"""Incidents in PostgreSQL: the alarms of each, and what they make of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Row, func, insert, or_, select, text, update

from monitor.domain.alarm import AlarmKind, AlarmState, Severity, StoredAlarm
from monitor.domain.incident import NO_WAIT, Incident, IncidentDetail, IncidentFacts, LikelyCause, VerdictWait, sum_up
from monitor.domain.order import Actor, AlarmOrder, target_of
from monitor.drift.stored import Filing
from monitor.errors import NotFound
from monitor.postgres import schema
from monitor.postgres.alarm_row import numbered_alarms, stored_alarm
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.document import clean, document
from monitor.postgres.engine import transaction
from monitor.retraining.records import Author

INCIDENT_LOCK = 0x524C4846_08  # an incident is made of its alarms: nobody else changes one meanwhile
MAX_OPEN = 1000  # incidents that are shown as open at once
EPISODE = ("baseline_id", "kind", "signal", "cohort", "policy_model", "scorer_version", "episode")
LIVE = tuple(state for state in AlarmState if state.is_live)


def hold_incidents(connection: Connection) -> None:
    """Let nobody else change an alarm or an incident until this transaction ends."""
    connection.execute(text(f"select pg_advisory_xact_lock({INCIDENT_LOCK})"))


def file_alarms(connection: Connection, filing: Filing) -> None:
    """Give every alarm that has no incident the one that *filing* decides; the caller holds the incidents.

    Those are the new ones, and whatever a leader of an older release has stored.
    """
    table = schema.alarm.c
    new = [stored_alarm(row) for row in connection.execute(select(schema.alarm).where(table.incident_id.is_(None)))]
    if not new:
        return
    first = min(member.alarm.place for member in new)
    # A warning lives until its alert's place, and its alert may be among the new: it is superseded already then.
    warning, alert = schema.alarm.c, schema.alarm.alias().c
    one_episode = [warning[name] == alert[name] for name in EPISODE]
    replaced = select(warning.alarm_id).where(
        *one_episode, warning.severity == Severity.WARNING, alert.severity == Severity.ALERT, alert.place >= first
    )
    unended = or_(table.state.in_(LIVE), table.recovered_place >= first, table.alarm_id.in_(replaced))
    open_then = select(table.incident_id).where(unended, table.incident_id.is_not(None))
    known = select(schema.alarm).where(table.incident_id.in_(open_then)).order_by(table.alarm_id)
    numbers: dict[int, int] = {}  # of the new incidents, by what the decision calls them
    for filed in filing(new, [stored_alarm(row) for row in connection.execute(known)]):
        member = filed.member
        if filed.incident < 0 and filed.incident not in numbers:
            opened = insert(schema.incident).values(_columns(sum_up([member])))
            numbers[filed.incident] = connection.execute(opened.returning(schema.incident.c.incident_id)).scalar_one()
        values = {
            "incident_id": numbers.get(filed.incident, filed.incident),
            "state": member.state,
            "acknowledged_by": member.acknowledged_by,
            "snoozed_until": member.snoozed_until,
        }
        connection.execute(update(schema.alarm).where(table.alarm_id == member.alarm_id).values(values))
    touched = table.alarm_id.in_([member.alarm_id for member in new])
    settle(connection, connection.execute(select(table.incident_id).where(touched).distinct()).scalars().all())


def settle(connection: Connection, incident_ids: Collection[int | None]) -> None:
    """Make each incident again of its alarms; the caller holds the incidents. None is an alarm that has none yet."""
    table, members = schema.alarm.c, defaultdict[int, list[StoredAlarm]](list)
    wanted = {number for number in incident_ids if number is not None}
    for row in connection.execute(select(schema.alarm).where(table.incident_id.in_(wanted))):
        members[row.incident_id].append(stored_alarm(row))
    for number, alarms in members.items():
        changed = update(schema.incident).where(schema.incident.c.incident_id == number)
        connection.execute(changed.values(_columns(sum_up(alarms))))


def noted(note: str, until: datetime | None) -> dict[str, str]:
    """Return what the audit keeps of an order: a person's *note*, and *until* when it holds."""
    told = {} if until is None else {"until": until.isoformat()}
    return told | ({"note": clean(note)} if note else {})


def move_alarms(
    connection: Connection, which: ColumnElement[bool], state: AlarmState, *, by: str, until: datetime | None
) -> None:
    """Put the alarms *which* into *state*, by a person's order, and make their incidents again."""
    values: dict[str, object] = {"state": state, "snoozed_until": until if state is AlarmState.SNOOZED else None}
    if state is not AlarmState.SNOOZED:
        values["acknowledged_by"] = by if state is AlarmState.ACKNOWLEDGED else None
    moved = update(schema.alarm).where(which).values(values).returning(schema.alarm.c.incident_id)
    settle(connection, connection.execute(moved).scalars().all())


class PostgresIncidents:
    """Reads incidents, and carries out what people order."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def incidents(
        self, *, states: Collection[AlarmState], limit: int, before: int | None = None
    ) -> tuple[Incident, ...]:
        """Return the newest incidents first; those in one of *states*, unless that is empty.

        Where *before* is given, those numbered below it.
        """
        query = select(schema.incident).order_by(schema.incident.c.incident_id.desc()).limit(limit)
        if states:
            query = query.where(schema.incident.c.state.in_(tuple(states)))
        if before is not None:
            query = query.where(schema.incident.c.incident_id < before)
        with transaction(self._engine) as connection:
            return tuple(incident_of(row) for row in connection.execute(query))

    def open_incidents(self, wait: VerdictWait = NO_WAIT) -> tuple[Incident, ...]:
        """Return the incidents that are open, newest first, without those whose page still has to *wait*."""
        found = self.incidents(states=(AlarmState.OPEN,), limit=MAX_OPEN)
        table, paging = schema.alarm.c, [incident.incident_id for incident in found if incident.facts.pages]
        if not paging or not wait.patience:
            return found
        members = defaultdict[int, list[StoredAlarm]](list)
        with transaction(self._engine) as connection:
            now = connection.execute(select(func.now())).scalar_one()
            for row in connection.execute(select(schema.alarm).where(table.incident_id.in_(paging))):
                members[row.incident_id].append(stored_alarm(row))
        return tuple(incident for incident in found if not wait.holds(members[incident.incident_id], now))

    def incident(self, incident_id: int) -> IncidentDetail | None:
        with transaction(self._engine) as connection:
            return _detail(connection, incident_id)

    def order_incident(
        self, incident_id: int, order: AlarmOrder, *, actor: Actor, snooze: timedelta = timedelta(0), note: str = ""
    ) -> IncidentDetail:
        """Carry out *order* on every live alarm of an incident; *snooze* is how long, from now.

        Raises `NotFound`, and `Conflict` where the incident's state does not allow it.
        """
        with transaction(self._engine) as connection:
            hold_incidents(connection)
            found = _detail(connection, incident_id)
            if found is None:
                raise NotFound(f"there is no incident {incident_id}: `incidents list` shows them")
            state = target_of(f"incident {incident_id}", found.incident.facts.state, order)
            which = (schema.alarm.c.incident_id == incident_id) & schema.alarm.c.state.in_(LIVE)
            until = connection.execute(select(func.now() + snooze)).scalar_one()
            move_alarms(connection, which, state, by=actor.name, until=until)
            by, detail = Author(actor.name, actor.role), noted(note, until if snooze else None)
            PostgresAudit(connection).record(f"incident.{order}", f"incident {incident_id}", by=by, detail=detail)
            after = _detail(connection, incident_id)
            assert after is not None
            return after

    def wake(self) -> None:
        """Open again what was snoozed until now, and is still there."""
        table = schema.alarm.c
        due = (table.state == AlarmState.SNOOZED) & (table.snoozed_until <= func.now())
        with transaction(self._engine) as connection:
            if connection.execute(select(table.alarm_id).where(due).limit(1)).first() is None:
                return
            hold_incidents(connection)
            move_alarms(connection, due, AlarmState.OPEN, by="", until=None)


def _detail(connection: Connection, incident_id: int) -> IncidentDetail | None:
    row = connection.execute(select(schema.incident).where(schema.incident.c.incident_id == incident_id)).one_or_none()
    if row is None:
        return None
    table = schema.alarm.c
    members = select(schema.alarm).where(table.incident_id == incident_id).order_by(table.place, table.alarm_id)
    return IncidentDetail(incident_of(row), numbered_alarms(connection, connection.execute(members)))


def _columns(facts: IncidentFacts) -> Mapping[str, object]:
    values = {name: getattr(facts, name) for name in FACTS}
    return values | {"summary": clean(facts.summary), "causes": document(facts.causes)}


def incident_of(row: Row[Any]) -> Incident:
    values = {name: getattr(row, name) for name in FACTS} | {
        "kind": AlarmKind(row.kind),
        "state": AlarmState(row.state),
        "severity": Severity(row.severity),
        "causes": msgspec.convert(row.causes, tuple[LikelyCause, ...]),
    }
    return Incident(row.incident_id, IncidentFacts(**values), row.created_at)


FACTS: Sequence[str] = IncidentFacts.__match_args__
