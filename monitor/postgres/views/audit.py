"""The audit table as operators read it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, select

from monitor.domain.audit import AuditQuery, AuditRow
from monitor.postgres import schema
from monitor.postgres.document import storable_text
from monitor.postgres.engine import transaction


class PostgresAuditLog:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def audit(self, wanted: AuditQuery, *, limit: int, before: int | None = None) -> Sequence[AuditRow]:
        """Return the newest rows first, those numbered below *before* where it is given."""
        table = schema.audit.c
        query = select(schema.audit).order_by(table.audit_id.desc()).limit(limit)
        for name in ("actor", "subject"):
            value = getattr(wanted, name)
            if value is not None:
                query = query.where(table[name] == storable_text(value))
        if wanted.action is not None:
            action = storable_text(wanted.action)
            query = query.where((table.action == action) | table.action.startswith(f"{action}.", autoescape=True))
        if wanted.since is not None:
            query = query.where(table.at >= wanted.since)
        if wanted.until is not None:
            query = query.where(table.at < wanted.until)
        if before is not None:
            query = query.where(table.audit_id < before)
        with transaction(self._engine) as connection:
            return [AuditRow(**row) for row in connection.execute(query).mappings()]
