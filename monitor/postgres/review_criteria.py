"""The criteria of the review queue in PostgreSQL: every version is kept, one is in force."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, select, text

from monitor.domain.order import Actor
from monitor.domain.review import Criteria, KeptCriteria
from monitor.errors import Conflict, NotFound
from monitor.postgres import schema
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.document import clean
from monitor.postgres.engine import transaction
from monitor.retraining.records import Author
from monitor.review.criteria import DEFAULT

_FIRST = text(
    "insert into criteria (version, text, active, created_by) select :version, :text, true, 'rlhf-monitor'"
    " where not exists (select from criteria) on conflict do nothing"
)
_ADD = text(
    "insert into criteria (version, text, active, created_by)"
    " values (:version, :text, not exists (select from criteria where active), :by) on conflict do nothing"
)


def active_criteria(connection: Connection) -> Criteria:
    """Return the criteria in force; the default ones are put in force where there are none yet."""
    table = schema.criteria.c
    query = select(table.version, table.text).where(table.active)
    row = connection.execute(query).one_or_none()
    if row is None:
        connection.execute(_FIRST, {"version": DEFAULT.version, "text": DEFAULT.text})
        row = connection.execute(query).one()
    return Criteria(row.version, row.text)


class PostgresCriteria:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def versions(self) -> list[KeptCriteria]:
        """Return every version, the oldest first."""
        table = schema.criteria.c
        with transaction(self._engine) as connection:
            active_criteria(connection)
            rows = connection.execute(select(schema.criteria).order_by(table.created_at, table.version)).all()
        return [KeptCriteria(row.version, row.text, row.active, row.created_at, row.created_by) for row in rows]

    def add(self, criteria: Criteria, *, actor: Actor) -> None:
        """Keep a new version, not yet in force; raises `Conflict` where the version is there already."""
        version = clean(criteria.version)
        values = {"version": version, "text": criteria.text.replace("\x00", ""), "by": clean(actor.name)}
        with transaction(self._engine) as connection:
            active_criteria(connection)
            if connection.execute(_ADD, values).rowcount != 1:
                raise Conflict(f"criteria {version} are there already, and labels may name them: take a new version")
            by = Author(actor.name, actor.role)
            PostgresAudit(connection).record("criteria.add", f"criteria {version}", by=by, detail={})

    def activate(self, version: str, *, actor: Actor) -> None:
        """Put *version* in force from now on; raises `NotFound`."""
        table, version = schema.criteria, clean(version)
        with transaction(self._engine) as connection:
            active_criteria(connection)
            connection.execute(table.update().where(table.c.active).values(active=False))
            put = table.update().where(table.c.version == version).values(active=True)
            if connection.execute(put).rowcount != 1:
                raise NotFound(f"criteria {version}: no such version; `review criteria list` shows them")
            by = Author(actor.name, actor.role)
            PostgresAudit(connection).record("criteria.activate", f"criteria {version}", by=by, detail={})
