"""How traces are selected, in PostgreSQL: written by the leader, read by every worker."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from sqlalchemy import Engine, insert, select

from monitor.domain.review import SelectionPlan
from monitor.postgres import schema
from monitor.postgres.document import document
from monitor.postgres.engine import transaction

KEPT_SECONDS = 10.0


class PostgresPlans:
    """The plan in force; without one *first* is. Kept for a while, since every batch asks for it."""

    def __init__(self, engine: Engine, first: SelectionPlan, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._first = first
        self._clock = clock
        self._known: SelectionPlan | None = None
        self._read_at = 0.0

    def current(self) -> SelectionPlan:
        """Return the plan, as it was up to `KEPT_SECONDS` ago; raises `Unavailable`."""
        if self._known is None or self._clock() - self._read_at >= KEPT_SECONDS:
            self._known = self.latest() or self._first
            self._read_at = self._clock()
        return self._known

    def latest(self) -> SelectionPlan | None:
        """Return the plan that was written last."""
        table = schema.review_plan.c
        query = select(table.revision, table.content).order_by(table.revision.desc()).limit(1)
        with transaction(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else msgspec.convert(row.content | {"revision": row.revision}, SelectionPlan)

    def write(self, plan: SelectionPlan) -> None:
        """Put *plan* in force; it gets a revision of its own."""
        content = {name: value for name, value in document(plan).items() if name != "revision"}
        with transaction(self._engine) as connection:
            connection.execute(insert(schema.review_plan).values(content=content))
