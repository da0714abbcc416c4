"""The streams' numbers, the baseline they are judged against, and what was seen beside them."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, and_, select, text

from monitor.domain.stream import StreamKey, StreamNumbers
from monitor.domain.view import BaselineSummary
from monitor.drift.stored import ActiveBaseline
from monitor.postgres import schema
from monitor.postgres.engine import transaction
from monitor.postgres.streams import active_baseline
from monitor.postgres.views.baselines import summaries
from monitor.signals.set import DEFAULT, SignalSet

_LATEST_SCORERS = text(
    "select distinct signal, scorer_version from observation_batch where entry_id in ("
    "  select entry_id from log_entry where source not in ('clock', 'anchor', 'labels', 'feedback')"
    "  order by entry_id desc limit 100)"
)


class PostgresStreams:
    """The `StreamStore` of `drift.status`, and the active baseline as operators see it."""

    def __init__(self, engine: Engine, signals: SignalSet = DEFAULT) -> None:
        self._engine = engine
        self._signals = signals

    def active(self, known: ActiveBaseline | None) -> ActiveBaseline | None:
        with transaction(self._engine) as connection:
            return active_baseline(connection, known)

    def numbers(self, baseline_id: int) -> dict[StreamKey, StreamNumbers]:
        with transaction(self._engine) as connection:
            return stream_numbers(connection, baseline_id)

    def seen_cohorts(self) -> set[str]:
        with transaction(self._engine) as connection:
            return set(connection.execute(select(schema.cohort.c.name)).scalars())

    def seen_scorers(self) -> set[tuple[str, str]]:
        with transaction(self._engine) as connection:
            rows = connection.execute(_LATEST_SCORERS)
            return {tuple(row) for row in rows if self._signals.holds(*row)}

    def baseline(self) -> BaselineSummary | None:
        """Return the active baseline, if one is frozen."""
        with transaction(self._engine) as connection:
            return next(iter(summaries(connection, schema.baseline.c.active, limit=1)), None)


def stream_numbers(connection: Connection, baseline_id: int) -> dict[StreamKey, StreamNumbers]:
    table = schema.detector.c
    columns = (table.observations, table.mean, table.last_timestamp, table.evidence_log)
    key = (table.signal, table.cohort, table.policy_model, table.scorer_version)
    named = schema.stream.c
    same = and_(*(named[column.name] == column for column in key))
    query = select(*key, *columns, named.stream_id).select_from(schema.detector.outerjoin(schema.stream, same))
    query = query.where(table.baseline_id == baseline_id)
    return {StreamKey(*row[:4]): StreamNumbers(*row[4:]) for row in connection.execute(query)}
