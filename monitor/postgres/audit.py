"""The audit table: who changed what."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, insert

from monitor.postgres import schema
from monitor.postgres.document import MAX_TEXT_CHARACTERS, document
from monitor.retraining.records import Author


class PostgresAudit:
    """`retraining.work.Audit` within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def record(self, action: str, subject: str, *, by: Author, detail: Mapping[str, object]) -> None:
        short = {name: item[:MAX_TEXT_CHARACTERS] if isinstance(item, str) else item for name, item in detail.items()}
        entry = {"actor": by.name, "role": by.role, "action": action, "subject": subject, "detail": document(short)}
        self._connection.execute(insert(schema.audit).values(entry))
