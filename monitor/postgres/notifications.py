"""Whom incidents were told to: a row a receiver and subject, with the message that is on its way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, and_, func, null, or_, select, update
from sqlalchemy import Row as SqlRow
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.incident import Incident, VerdictWait
from monitor.notify.notice import Notice, ReceiverStatus, Row, Snapshot, Standing, Told, Waiting
from monitor.postgres import schema
from monitor.postgres.document import clean, document
from monitor.postgres.engine import transaction
from monitor.postgres.incidents import LIVE, PostgresIncidents, incident_of

MAX_SHOWN = 20  # of the notices that one receiver has not taken
MAX_INCIDENTS = 1000  # the newest that are looked at; more are told of once some have ended
TABLE = schema.notification


class PostgresNotifications:
    """`notify.telling.Store`, and what people see of it."""

    def __init__(self, engine: Engine, wait: VerdictWait) -> None:
        self._engine = engine
        self._incidents = PostgresIncidents(engine)
        self._wait = wait

    def read(self, receivers: Sequence[str]) -> Snapshot:
        """Return what is live or not told to its end, and what is stored of *receivers*."""
        shown = {one.incident_id for one in self._incidents.open_incidents(self._wait)}
        with transaction(self._engine) as connection:
            now = connection.execute(select(func.clock_timestamp())).scalar_one()
            incidents = _incidents(connection, receivers)
            known = or_(TABLE.c.incident_id.in_(incidents), TABLE.c.incident_id.is_(None))
            of_those = and_(TABLE.c.receiver.in_(receivers), known)
            rows = tuple(row_of(row) for row in connection.execute(select(TABLE).where(of_those)))
        held = {number for number, one in incidents.items() if one.facts.state == "open" and number not in shown}
        return Snapshot(now, incidents, frozenset(held), rows)

    def begin(self, row: Row, notice: Notice, joined: Sequence[int], *, lease_seconds: float) -> Notice:
        """Take down that *notice* is on its way, and return it as it is kept; *joined* are told of by it alone."""
        kept = document(notice)
        changed = notice.sequence != row.sequence
        values: dict[str, Any] = {
            "sequence": notice.sequence,
            "pending": kept,
            "attempts": 1 if changed else TABLE.c.attempts + 1,
            "retry_at": _later(lease_seconds),
            "refused": False,
            "closed": False,
            "storm": null(),
        }
        if changed:
            values["pending_since"] = func.coalesce(TABLE.c.pending_since, func.clock_timestamp())
        first = values | {"attempts": 1, "pending_since": func.clock_timestamp()}
        with transaction(self._engine) as connection:
            _keep(connection, row, first, values)
            for number in joined:
                member = Row(row.receiver, f"incident-{number}", number)
                told_by = {"storm": row.subject, "closed": False}
                _keep(connection, member, told_by, told_by)
        return msgspec.convert(kept, Notice)

    def taken(self, receiver: str, notice: Notice, handle: str | None) -> None:
        heard = {"loud_at": func.clock_timestamp()} if notice.event.is_loud else {}
        known = {"handle": handle} if handle is not None else {}
        self._ended(receiver, notice, told_at=func.clock_timestamp(), **heard, **known)

    def pass_over(self, row: Row, notice: Notice) -> None:
        """Take *notice* down as told without a message."""
        with transaction(self._engine) as connection:
            _keep(connection, row, {"sequence": notice.sequence}, {"sequence": notice.sequence})
        self._ended(row.receiver, notice)

    def failed(self, receiver: str, notice: Notice, error: str, *, retry_seconds: float, refused: bool) -> None:
        values = {"error": clean(error), "refused": refused, "retry_at": _later(retry_seconds)}
        with transaction(self._engine) as connection:
            connection.execute(update(TABLE).where(_of(receiver, notice)).values(values))

    def status(self, receivers: Sequence[tuple[str, str, str]]) -> list[ReceiverStatus]:
        """Return how telling goes to each of *receivers*: name, kind and severity."""
        column = TABLE.c
        waiting = select(TABLE).where(column.pending_since.is_not(None)).order_by(column.pending_since, column.subject)
        taken = select(column.receiver, column.told_at, column.incident_id).where(column.told_at.is_not(None))
        newest = taken.ext(distinct_on(column.receiver)).order_by(column.receiver, column.told_at.desc())
        with transaction(self._engine) as connection:
            now = connection.execute(select(func.clock_timestamp())).scalar_one()
            told = {row.receiver: row for row in connection.execute(newest)}
            pending = [row_of(row) for row in connection.execute(waiting)]
        found = []
        for name, kind, severity in receivers:
            rows = [row for row in pending if row.receiver == name]
            failed = [row for row in rows if row.error is not None]
            since = [row.pending_since for row in rows if row.pending_since is not None]
            status = ReceiverStatus(
                receiver=name,
                kind=kind,
                severity=severity,
                waiting=len(rows),
                waiting_seconds=max((now - since[0]).total_seconds(), 0.0) if since else 0.0,
                told_at=told[name].told_at if name in told else None,
                error=failed[-1].error if failed else None,
                told_of=told[name].incident_id if name in told else None,
                failing_since=failed[0].pending_since if failed else None,
                notices=tuple(map(_waiting, rows[:MAX_SHOWN])),
            )
            found.append(status)
        return found

    def _ended(self, receiver: str, notice: Notice, **values: Any) -> None:
        over = notice.told.standing is Standing.OVER
        done = {"pending": null(), "pending_since": null(), "retry_at": null(), "error": null(), "attempts": 0}
        told = values | done | {"told": document(notice.told), "closed": over, "refused": False}
        with transaction(self._engine) as connection:
            noted = connection.execute(update(TABLE).where(_of(receiver, notice)).values(told))
            if over and noted.rowcount:
                members = (TABLE.c.receiver == receiver) & (TABLE.c.storm == notice.subject)
                connection.execute(update(TABLE).where(members).values(closed=True))


def _incidents(connection: Connection, receivers: Sequence[str]) -> dict[int, Incident]:
    table = schema.incident.c
    unfinished = select(TABLE.c.incident_id).where(TABLE.c.receiver.in_(receivers), TABLE.c.closed.is_(False))
    wanted = or_(table.state.in_(LIVE), table.incident_id.in_(unfinished))
    newest = select(schema.incident).where(wanted).order_by(table.incident_id.desc()).limit(MAX_INCIDENTS)
    found = [incident_of(row) for row in connection.execute(newest)]
    return {one.incident_id: one for one in reversed(found)}


def _keep(connection: Connection, row: Row, first: dict[str, Any], later: dict[str, Any]) -> None:
    key = {"receiver": row.receiver, "subject": row.subject, "incident_id": row.incident_id}
    inserted = upsert(TABLE).values(key | first)
    connection.execute(inserted.on_conflict_do_update(constraint=TABLE.primary_key, set_=later))


def _of(receiver: str, notice: Notice) -> Any:
    column = TABLE.c
    return and_(column.receiver == receiver, column.subject == notice.subject, column.sequence == notice.sequence)


def _later(seconds: float) -> Any:
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def row_of(row: SqlRow[Any]) -> Row:
    values = {name: getattr(row, name) for name in Row.__match_args__}
    told = None if row.told is None else msgspec.convert(row.told, Told)
    pending = None if row.pending is None else msgspec.convert(row.pending, Notice)
    return Row(**values | {"told": told, "pending": pending})


def _waiting(row: Row) -> Waiting:
    assert row.pending is not None
    assert row.pending_since is not None
    return Waiting(
        subject=row.subject,
        incident_id=row.incident_id,
        event=row.pending.event,
        title=row.pending.title,
        since=row.pending_since,
        attempts=row.attempts,
        retry_at=row.retry_at,
        refused=row.refused,
        error=row.error,
    )
