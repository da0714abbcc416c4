"""What users did after answers, in PostgreSQL: which traces are due, and how far they were counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, timedelta
from itertools import takewhile

from sqlalchemy import Engine, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.label import Label
from monitor.domain.observation import LogEntry
from monitor.labels.feedback import Due, FollowedTrace
from monitor.postgres import schema
from monitor.postgres.engine import transaction
from monitor.postgres.labels import label_of
from monitor.postgres.log import append_entry

STATE = "user_feedback"  # in `label_state`, beside the estimands
ENTRIES = 50  # of traces, in one of feedback
_ENTRIES = text(
    "select entry_id, sequence, created_at, (select created_at from log_entry where sequence is not null"
    "   order by sequence desc limit 1) as now"
    " from log_entry where source = 'traces' and sequence >= :sequence order by sequence limit :limit"
)
_TRACES = text(
    "select t.trace_id, t.timestamp, t.policy_model, t.cohort from log_entry e join trace t on t.entry_id = e.entry_id"
    "   and t.stored_on = (e.created_at at time zone 'utc')::date"
    " where e.entry_id = any(:entry_ids) and not t.repeated order by e.sequence, t.ordinal"
)
_LABELS = text(  # all contents of a label's id: one may have been corrected to be of another trace or kind
    "select * from label where withdrawn_at is null and label_id in"
    " (select label_id from label where trace_id = any(:trace_ids) and kind = any(:kinds))"
)


class PostgresFeedback:
    """`labels.feedback.FeedbackStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def due(self, wait: timedelta) -> Due | None:
        state = schema.label_state
        with transaction(self._engine) as connection:
            query = select(state.c.next_sequence).where(state.c.estimand == STATE)
            sequence = connection.execute(query).scalar_one_or_none() or 1
            rows = connection.execute(_ENTRIES, {"sequence": sequence, "limit": ENTRIES}).all()
            over = list(takewhile(lambda row: row.created_at + wait <= row.now, rows))
            if not over:
                return None
            found = connection.execute(_TRACES, {"entry_ids": [row.entry_id for row in over]})
            traces = [
                FollowedTrace(row.trace_id, row.timestamp.astimezone(UTC), row.policy_model, row.cohort)
                for row in found
            ]
        return Due(over[-1].sequence + 1, traces, len(over) == ENTRIES)

    def labels(self, trace_ids: Sequence[str], kinds: Sequence[str]) -> Iterable[Label]:
        with transaction(self._engine) as connection:
            rows = connection.execute(_LABELS, {"trace_ids": list(trace_ids), "kinds": list(kinds)}).all()
        return [label_of(row) for row in rows]

    def save(self, next_sequence: int, entry: LogEntry | None) -> None:
        values = {"estimand": STATE, "next_sequence": next_sequence, "next_number": 1, "first_place": 0, "eligible": 0}
        statement = upsert(schema.label_state)
        changed = {"next_sequence": statement.excluded.next_sequence}
        with transaction(self._engine) as connection:
            if entry is not None:
                append_entry(connection, entry)
            connection.execute(
                statement.on_conflict_do_update(index_elements=["estimand"], set_=changed), values | {"tuning": b""}
            )
