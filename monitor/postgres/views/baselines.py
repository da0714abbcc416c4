"""The baselines as operators see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import ColumnElement, Connection, Engine, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from monitor.domain.alarm import AlarmState
from monitor.domain.baseline import BaselineQuery
from monitor.domain.view import BaselineSummary
from monitor.drift.baseline import Baseline
from monitor.drift.stored import ActiveBaseline
from monitor.postgres import schema
from monitor.postgres.document import storable_text
from monitor.postgres.engine import transaction
from monitor.postgres.log import trace_numbers


class PostgresBaselineViews:
    """Every baseline that was ever frozen."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def baselines(self, wanted: BaselineQuery, *, limit: int, before: int | None = None) -> Sequence[BaselineSummary]:
        """Return the newest first, those numbered below *before* where it is given."""
        which = [] if before is None else [schema.baseline.c.baseline_id < before]
        if not wanted.is_open:
            which.append(_with_law(wanted))
        with transaction(self._engine) as connection:
            return summaries(connection, *which, limit=limit)

    def summary(self, baseline_id: int) -> BaselineSummary | None:
        with transaction(self._engine) as connection:
            found = summaries(connection, schema.baseline.c.baseline_id == baseline_id, limit=1)
        return next(iter(found), None)

    def stored(self, baseline_id: int) -> ActiveBaseline | None:
        """Return the laws of a baseline, active or not, with their revision."""
        query = select(schema.baseline).where(schema.baseline.c.baseline_id == baseline_id)
        with transaction(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return ActiveBaseline(
            row.baseline_id, row.revision, Baseline.from_json(row.first_place, row.stop_place, row.content)
        )

    def live_alarms(self) -> int:
        """Return how many alarms against a baseline are live: freezing another one supersedes them."""
        table = schema.alarm.c
        live = table.state.in_([state for state in AlarmState if state.is_live]), table.baseline_id.is_not(None)
        with transaction(self._engine) as connection:
            return int(connection.execute(select(func.count()).select_from(schema.alarm).where(*live)).scalar_one())


def _with_law(wanted: BaselineQuery) -> ColumnElement[bool]:
    """Return the condition that one of a baseline's laws is of all that is *wanted*."""
    fits = {name: storable_text(value) for name, value in asdict(wanted).items() if value is not None}
    of_stream = " && ".join(f"@.{name} == ${name}" for name in ("policy_model", "cohort") if name in fits)
    path = "$.signals[*]" + (" ? (@.signal == $signal)" if "signal" in fits else "")
    path += f".strata[*] ? ({of_stream})" if of_stream else ""
    named = cast(literal(fits, JSONB), JSONB)
    return func.jsonb_path_exists(schema.baseline.c.content, cast(path, JSONPATH), named)


def summaries(connection: Connection, *which: ColumnElement[bool], limit: int) -> list[BaselineSummary]:
    """Return the baselines *which*, newest first."""
    table = schema.baseline.c
    columns = table.baseline_id, table.created_at, table.created_by, table.note, table.active
    query = select(*columns, table.first_place, table.stop_place).where(*which).order_by(table.baseline_id.desc())
    rows = connection.execute(query.limit(limit)).all()
    numbers = trace_numbers(connection, [place for row in rows for place in (row.first_place, row.stop_place)])
    return [
        BaselineSummary(
            baseline_id=row.baseline_id,
            created_at=row.created_at,
            created_by=row.created_by,
            note=row.note,
            first_place=row.first_place,
            stop_place=row.stop_place,
            traces=stop - first,
            first_trace=first,
            active=row.active,
        )
        for row, first, stop in zip(rows, numbers[::2], numbers[1::2], strict=True)
    ]
