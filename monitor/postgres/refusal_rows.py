"""The answers that people judged for refusals, with their texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, text

from monitor.domain.trace import Message, prompt_of
from monitor.labels.refusals import RefusalRow, refusals_of
from monitor.postgres.engine import transaction
from monitor.postgres.labels import COLUMNS, label_of
from monitor.postgres.preferences import PostgresPreferences, read_new
from monitor.runs.artifact import HashedFile
from monitor.signals.refusal.language import answer_language

SOURCE = "labels"
_LABELS = text(
    f"select {COLUMNS} from label where label_id in (select label_id from label where kind = 'refusal')"  # noqa: S608
    " and withdrawn_at is null"
)
_TEXTS = text(
    "select trace_id, messages, response, policy_model from preference_text where trace_id = any(:trace_ids)"
    " order by trace_id"
)

_COUNT = text(
    "select count(*) from preference_text where trace_id = any(:trace_ids) and (cast(:since as timestamptz) is null"
    " or trace_id in (select trace_id from label where kind = 'refusal' and received_at > :since))"
)


class PostgresRefusalRows:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def export(self, path: Path) -> HashedFile:
        """Write every judged answer whose text is kept to *path*, a `RefusalRow` a line, by trace id.

        The same tables give the same bytes.
        """
        PostgresPreferences(self._engine).read_new()  # keeps the texts of what was labelled since
        digest, count = hashlib.sha256(), 0
        with transaction(self._engine) as connection, path.open("wb") as target:
            for row in _rows(connection):
                line = msgspec.json.encode(row) + b"\n"
                target.write(line)
                digest.update(line)
                count += 1
        return HashedFile(str(path.absolute()), digest.hexdigest(), count)


def count_refusals(connection: Connection, since: datetime | None) -> int:
    """Count by the rules by which an export chooses, over the answers of which there are labels since."""
    while read_new(connection):
        pass
    judged = refusals_of(map(label_of, connection.execute(_LABELS)))
    asked = {"trace_ids": list(judged), "since": since}
    return int(connection.execute(_COUNT, asked).scalar_one())


def _rows(connection: Connection) -> Iterator[RefusalRow]:
    judged = refusals_of(map(label_of, connection.execute(_LABELS)))
    for row in connection.execute(_TEXTS, {"trace_ids": list(judged)}):
        messages = [Message(message["role"], message["content"]) for message in row.messages]
        yield RefusalRow(
            prompt=prompt_of(messages) or "",
            answer=row.response,
            refusal=judged[row.trace_id],
            source=SOURCE,
            model=row.policy_model or "",
            language=answer_language(row.response),
        )
