"""Traces as people look them up: newest first, with a bound on what one look reads."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, timedelta
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, Engine, Row, text

from monitor.domain.order import Actor
from monitor.domain.stored_trace import (
    FoundTraces,
    Said,
    TraceDetail,
    TraceObservation,
    TracePlace,
    TraceQuery,
    TraceRow,
    TraceScore,
    TraceText,
)
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.document import storable_text
from monitor.postgres.engine import transaction
from monitor.retraining.records import Author

SCANNED_ROWS = 20_000  # of one look: rows that no filter lets through are read too
AHEAD_DAYS = 2  # a producer's clock may be so far ahead of ours, and of midnight
NEWEST = TracePlace(date.max, 2**63 - 1, 2**31 - 1)
_KNOWN = (
    "trace_id, timestamp, stored_on, policy_model, cohort, finish_reason, input_tokens, output_tokens,"
    " output_tokens_source, latency_seconds, feedback_rating, tool_calls, error is not null as failed, repeated,"
    " truncated"
)
_NAMES = tuple(TraceRow.__match_args__)
_SEARCH = text(
    f"with scanned as materialized (select {_KNOWN}, entry_id, ordinal from trace"  # noqa: S608
    "  where stored_on <= :stored_on and stored_on >= :floor"
    "  and (stored_on, entry_id, ordinal) < (:stored_on, :entry_id, :ordinal)"
    "  order by stored_on desc, entry_id desc, ordinal desc limit :rows)"
    ", oldest as (select stored_on, entry_id, ordinal, (select count(*) from scanned) as scanned from scanned"
    "  order by stored_on, entry_id, ordinal limit 1)"
    ", fitting as (select * from scanned where (cast(:cohort as text) is null or cohort = :cohort)"
    "  and (cast(:policy_model as text) is null or policy_model = :policy_model)"
    "  and (cast(:since as timestamptz) is null or timestamp >= :since)"
    "  and (cast(:until as timestamptz) is null or timestamp < :until)"
    "  order by stored_on desc, entry_id desc, ordinal desc limit :limit)"
    " select fitting.*, oldest.scanned, oldest.stored_on as oldest_on, oldest.entry_id as oldest_entry,"
    "  oldest.ordinal as oldest_ordinal from oldest left join fitting on true"
    " order by fitting.stored_on desc, fitting.entry_id desc, fitting.ordinal desc"
)
_ONE = text(
    f"select {_KNOWN}, t.entry_id, t.ordinal, conversation_id, user_id, messages, response, reference_response, error"  # noqa: S608
    " from stored_trace s join trace t using (stored_on, entry_id, ordinal, trace_id) where trace_id = :trace_id"
)
_SCORES = text(
    "select scorer_version, mean, lower, disagreement from score where trace_id = :trace_id order by scorer_version"
)
_OBSERVED = text(
    'select signal, scorer_version, ordinals, "values" as numbers from observation_batch'
    " where entry_id = :entry_id order by signal, scorer_version"
)


class PostgresTraces:
    """Looks traces up, and keeps in the audit who read a text."""

    def __init__(self, engine: Engine, *, scanned_rows: int = SCANNED_ROWS) -> None:
        self._engine = engine
        self._scanned_rows = scanned_rows

    def traces(self, query: TraceQuery, *, limit: int, after: TracePlace | None = None) -> FoundTraces:
        """Return up to *limit* traces that came before *after*, newest first.

        They may be fewer although there are more: one look reads a bounded number of rows.
        """
        if query.trace_id is not None:
            detail = self.trace(query.trace_id) if after is None else None
            return FoundTraces((detail.trace,) if detail is not None and _fits(detail.trace, query) else (), None)
        since = query.since
        floor = date.min if since is None else _day(since.astimezone(UTC).date(), -AHEAD_DAYS)
        bounds = (after or NEWEST)._asdict() | {"floor": floor, "rows": self._scanned_rows, "limit": limit}
        with transaction(self._engine) as connection:
            rows = connection.execute(_SEARCH, _stored(asdict(query)) | bounds).all()
        found = [row for row in rows if row.trace_id is not None]
        if len(found) == limit:
            edge = TracePlace(found[-1].stored_on, found[-1].entry_id, found[-1].ordinal)
        elif rows and rows[0].scanned == self._scanned_rows:
            edge = TracePlace(rows[0].oldest_on, rows[0].oldest_entry, rows[0].oldest_ordinal)
        else:
            edge = None
        return FoundTraces(tuple(map(_known, found)), edge)

    def trace(self, trace_id: str) -> TraceDetail | None:
        """Return one trace without its text; None where it is unknown, or forgotten."""
        with transaction(self._engine) as connection:
            row = connection.execute(_ONE, {"trace_id": storable_text(trace_id)}).one_or_none()
            return None if row is None else _detail(connection, row)

    def read(self, trace_id: str, *, actor: Actor) -> TraceDetail | None:
        """Return one trace with its text; the audit keeps who read it, in the same transaction."""
        with transaction(self._engine) as connection:
            row = connection.execute(_ONE, {"trace_id": storable_text(trace_id)}).one_or_none()
            if row is None:
                return None
            by = Author(actor.name, actor.role)
            PostgresAudit(connection).record("trace.read", f"trace {row.trace_id}", by=by, detail={})
            said = TraceText(
                conversation_id=row.conversation_id,
                user_id=row.user_id,
                messages=msgspec.convert(row.messages, tuple[Said, ...]),
                response=row.response,
                reference_response=row.reference_response,
                error=row.error,
            )
            return _detail(connection, row, said)


def _detail(connection: Connection, row: Row[Any], said: TraceText | None = None) -> TraceDetail:
    scores = connection.execute(_SCORES, {"trace_id": row.trace_id})
    batches = connection.execute(_OBSERVED, {"entry_id": row.entry_id})
    return TraceDetail(
        trace=_known(row),
        scores=tuple(TraceScore(**score) for score in scores.mappings()),
        observations=tuple(
            TraceObservation(batch.signal, batch.scorer_version, value)
            for batch in batches
            for value in _values_at(batch, row.ordinal)
        ),
        text=said,
    )


def _values_at(batch: Row[Any], ordinal: int) -> list[float]:
    at = np.flatnonzero(np.frombuffer(batch.ordinals, dtype="<i4") == ordinal)
    values: list[float] = np.frombuffer(batch.numbers, dtype="<f8")[at].tolist()
    return values


def _known(row: Row[Any]) -> TraceRow:
    return TraceRow(**{name: getattr(row, name) for name in _NAMES})


def _fits(trace: TraceRow, query: TraceQuery) -> bool:
    return (
        query.cohort in {None, trace.cohort}
        and query.policy_model in {None, trace.policy_model}
        and (query.since is None or trace.timestamp >= query.since)
        and (query.until is None or trace.timestamp < query.until)
    )


def _stored(asked: dict[str, Any]) -> dict[str, Any]:
    """Return *asked* with texts as columns hold them: what holds NUL stands in no column."""
    return {name: storable_text(value) if isinstance(value, str) else value for name, value in asked.items()}


def _day(day: date, days: int) -> date:
    return day if day.toordinal() + days < 1 else day + timedelta(days=days)
