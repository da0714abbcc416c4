"""The audit table: who changed what."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, insert

from monitor.postgres import schema
from monitor.postgres.document import MAX_TEXT_CHARACTERS, document
from monitor.postgres.kept_answers import note_made
from monitor.retraining.records import Author


class PostgresAudit:
    """`retraining.work.Audit` within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def record(self, action: str, subject: str, *, by: Author, detail: Mapping[str, object]) -> None:
        self.keep(action, subject, by=by, detail=detail)

    def keep(self, action: str, subject: str, *, by: Author, detail: Mapping[str, object]) -> int:
        """Record it, and return the row's number."""
        short = {name: item[:MAX_TEXT_CHARACTERS] if isinstance(item, str) else item for name, item in detail.items()}
        entry = {"actor": by.name, "role": by.role, "action": action, "subject": subject, "detail": document(short)}
        kept = insert(schema.audit).values(entry).returning(schema.audit.c.audit_id)
        number: int = self._connection.execute(kept).scalar_one()
        note_made(self._connection)
        return number


def audit_freeze(connection: Connection, baseline_id: int, *, by: str, role: str | None, note: str) -> None:
    """Keep that a person of *role* froze a baseline; without a role it was the leader, as its rules have it."""
    if role is not None:
        subject, detail = f"baseline {baseline_id}", {"note": note}
        PostgresAudit(connection).record("baseline.freeze", subject, by=Author(by, role), detail=detail)
