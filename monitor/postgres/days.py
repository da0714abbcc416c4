"""What each stream's observations of a day came to, a row a stream and day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.alarm import Direction
from monitor.domain.stream import StreamKey
from monitor.drift.daily import LEAST_LOG_E, DayEvidence
from monitor.drift.moved import DayRecord
from monitor.postgres import schema
from monitor.postgres.engine import transaction

_GAINED = ("observations", "log_e", "direction")


def save_days(connection: Connection, baseline_id: int, evidence: Sequence[DayEvidence]) -> None:
    """Store *evidence*; what is known of a stream's day is replaced."""
    if not evidence:
        return
    rows = {
        (row.stream, row.day): {
            "baseline_id": baseline_id,
            "day": row.day,
            "signal": row.stream.signal,
            "cohort": row.stream.cohort,
            "policy_model": row.stream.policy_model,
            "scorer_version": row.stream.scorer_version,
            **{name: getattr(row, name) for name in _GAINED},
        }
        for row in evidence
    }
    statement = upsert(schema.daily_evidence)
    statement = statement.on_conflict_do_update(
        constraint=schema.daily_evidence.primary_key, set_={name: statement.excluded[name] for name in _GAINED}
    )
    connection.execute(statement, list(rows.values()))


class PostgresDays:
    """The `DayStore` of `drift.moved`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def latest_day(self) -> tuple[int, date] | None:
        table, active = schema.daily_evidence.c, select(schema.baseline.c.baseline_id).where(schema.baseline.c.active)
        query = (  # the key's own order: no day but the last is read
            select(table.baseline_id, table.day)
            .where(table.baseline_id == active.scalar_subquery())
            .order_by(table.baseline_id.desc(), table.day.desc())
            .limit(1)
        )
        with transaction(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row[0], row[1])

    def days(self, baseline_id: int, *, after: date, through: date) -> list[DayRecord]:
        table = schema.daily_evidence.c
        wanted = (table.baseline_id == baseline_id, table.day > after, table.day <= through)
        counts = select(table.day, func.count()).where(*wanted).group_by(table.day)
        telling = select(schema.daily_evidence).where(*wanted, table.log_e >= LEAST_LOG_E).order_by(table.day)
        with transaction(self._engine) as connection:
            rows = connection.execute(telling).all()
            streams = {row[0]: row[1] for row in connection.execute(counts)}  # later, so none is told and not counted
        evidence = {day: tuple(map(_evidence, group)) for day, group in groupby(rows, key=lambda row: row.day)}
        return [DayRecord(day, streams[day], evidence.get(day, ())) for day in sorted(streams)]


def _evidence(row: Row[Any]) -> DayEvidence:
    key = StreamKey(row.signal, row.cohort, row.policy_model, row.scorer_version)
    return DayEvidence(key, row.day, row.observations, row.log_e, Direction(row.direction))
