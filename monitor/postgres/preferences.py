"""Preference pairs: counted for the trigger, exported for a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b, sha256
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select

from monitor.postgres import schema
from monitor.postgres.engine import transaction
from monitor.runs.artifact import HashedFile

_FETCH_ROWS = 1_000


class PostgresPreferences:
    """The pairs a reward model learns from: every verdict that is not a tie."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def count_since(self, time: datetime | None) -> int:
        """Return how many pairs were received after *time*; all of them for None."""
        with transaction(self._engine) as connection:
            return count_pairs(connection, time)

    def export(self, path: Path) -> HashedFile:
        """Write every pair to *path* as `RunSpec.preferences` describes it, the oldest first.

        The same table gives the same bytes.
        """
        table = schema.preference.c
        query = select(schema.preference).where(~table.tie).order_by(table.timestamp, table.preference_id)
        digest, rows = sha256(), 0
        with (
            path.open("wb") as file,
            transaction(self._engine) as connection,
            connection.execution_options(yield_per=_FETCH_ROWS).execute(query) as pairs,
        ):
            for row in pairs:
                pair = {
                    "preference_id": row.preference_id,
                    "conversation_id": conversation_of(row.messages),
                    "messages": row.messages,
                    "chosen": row.chosen,
                    "rejected": row.rejected,
                    "cohort": row.cohort,
                    "timestamp": row.timestamp.isoformat(),
                }
                line = json.dumps(pair, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
                digest.update(line)
                file.write(line)
                rows += 1
        return HashedFile(path=str(path.resolve()), sha256=digest.hexdigest(), rows=rows)


def count_pairs(connection: Connection, time: datetime | None) -> int:
    query = select(func.count()).select_from(schema.preference).where(~schema.preference.c.tie)
    if time is not None:
        query = query.where(schema.preference.c.received_at > time)
    return connection.execute(query).scalar_one()


def conversation_of(messages: Sequence[Mapping[str, str]]) -> str:
    """Name the conversation by how it opens: everything up to the user's first message.

    A preference event carries no conversation id, and its pairs are split by
    conversation so that none is in training and held out at once. Two turns of
    one conversation share their opening; two conversations that open alike are
    kept together too, which costs nothing.
    """
    digest = blake2b(digest_size=16)
    for message in messages:
        digest.update(json.dumps([message["role"], message["content"]]).encode())
        if message["role"] == "user":
            break
    return digest.hexdigest()
