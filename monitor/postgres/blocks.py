"""Blocks of labels in PostgreSQL: how far the log is cut, what waits, and what was settled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.label import Verdict
from monitor.domain.observation import LogEntry, ObservationBatch, PlacedEntry, SubjectRef
from monitor.domain.review import ItemState, Queued
from monitor.errors import Fenced
from monitor.labels.block import OpenBlock, Settled
from monitor.labels.keeper import Cut
from monitor.labels.tuning import Tuning
from monitor.postgres import schema
from monitor.postgres.engine import transaction
from monitor.postgres.labels import PostgresLabels
from monitor.postgres.log import append_entry
from monitor.postgres.review_criteria import active_criteria
from monitor.postgres.streams import PostgresFoldStore, batch_of, entry_of

_ENTRIES = text(
    "select e.sequence, e.source, e.first_place, e.places, e.created_at, e.last_timestamp, b.signal, b.policy_model,"
    " b.scorer_version, b.cohorts, b.cohort_codes, b.ordinals, b.values, b.inclusion"
    " from (select * from log_entry where sequence >= :sequence order by sequence limit :limit) e"  # some are forgotten
    " left join observation_batch b on b.entry_id = e.entry_id and e.source = 'traces' and b.signal = any(:signals)"
    " order by e.sequence, b.signal, b.policy_model, b.scorer_version"
)
_NOW = text("select created_at from log_entry where sequence is not null order by sequence desc limit 1")
_QUEUED = text("select trace_id, state, wanted from review_item where trace_id = any(:trace_ids) and kind = :kind")
_SETTLE = text(
    "update label_block set outcome = :outcome, items = :items, labelled = :labelled, missing = :missing,"
    " entry_id = :entry_id, settled_at = now() where estimand = :estimand and number = :number and outcome is null"
)


class PostgresBlocks:
    """`labels.keeper.BlockStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._log = PostgresFoldStore(engine)
        self._labels = PostgresLabels(engine)

    def cut(self, estimand: str) -> Cut:
        state = schema.label_state
        with transaction(self._engine) as connection:
            row = connection.execute(select(state).where(state.c.estimand == estimand)).one_or_none()
        if row is None:
            return Cut()
        return Cut(
            next_sequence=row.next_sequence,
            next_number=row.next_number,
            first_place=row.first_place,
            eligible=row.eligible,
            tuning=Tuning.from_bytes(row.tuning),
        )

    def save_cut(self, estimand: str, cut: Cut, blocks: Sequence[OpenBlock]) -> None:
        with transaction(self._engine) as connection:
            _save(connection, estimand, cut)
            if blocks:
                rows = [
                    {**asdict(block), "estimand": estimand, "criteria_version": block.criteria_version or ""}
                    for block in blocks
                ]
                connection.execute(insert(schema.label_block), rows)

    def entries(self, sequence: int, signals: Collection[str], *, limit: int) -> Iterator[PlacedEntry]:
        bounds = {"sequence": sequence, "limit": limit, "signals": sorted(signals)}
        with transaction(self._engine) as connection:
            rows = connection.execute(_ENTRIES, bounds).all()
        for _, group in groupby(rows, key=lambda row: row.sequence):
            batches = list(group)
            yield entry_of(batches[0], None, tuple(batch_of(row) for row in batches if row.signal is not None))

    def now(self) -> datetime | None:
        with transaction(self._engine) as connection:
            now: datetime | None = connection.execute(_NOW).scalar_one_or_none()
        return None if now is None else now.astimezone(UTC)

    def open_blocks(self, estimand: str, *, limit: int) -> list[OpenBlock]:
        table = schema.label_block.c
        query = select(table.number, table.first_place, table.stop_place, table.cut_at, table.criteria_version)
        query = query.where(table.estimand == estimand, table.outcome.is_(None)).order_by(table.number).limit(limit)
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return [
            OpenBlock(
                row.number, row.first_place, row.stop_place, row.cut_at.astimezone(UTC), row.criteria_version or None
            )
            for row in rows
        ]

    def window(self, start: int, stop: int, signals: Collection[str] | None = None) -> Iterator[ObservationBatch]:
        return self._log.window(start, stop, signals)

    def locate(self, places: Sequence[int]) -> list[SubjectRef]:
        return self._log.locate(places) if places else []

    def verdicts(
        self, kind: str, trace_ids: Sequence[str], criteria_version: str | None, *, stated_only: bool
    ) -> Mapping[str, Verdict]:
        with transaction(self._engine) as connection:
            return self._labels.verdicts(
                connection, kind, trace_ids, criteria_version=criteria_version, stated_only=stated_only
            )

    def queued(self, kind: str, trace_ids: Sequence[str]) -> dict[str, Queued]:
        with transaction(self._engine) as connection:
            rows = connection.execute(_QUEUED, {"trace_ids": list(trace_ids), "kind": kind}).all()
        return {row.trace_id: Queued(ItemState(row.state), row.wanted) for row in rows}

    def criteria(self) -> str:
        with transaction(self._engine) as connection:
            return active_criteria(connection).version

    def save_settled(self, estimand: str, cut: Cut, settled: Sequence[Settled], entry: LogEntry | None) -> None:
        with transaction(self._engine) as connection:
            entry_id = None if entry is None else append_entry(connection, entry).entry_id
            for row in settled:
                values = {
                    "outcome": row.outcome,
                    "items": len(row.items),
                    "labelled": sum(item.value is not None for item in row.rows),
                    "missing": row.missing,
                    "entry_id": entry_id if row.observations else None,
                    "estimand": estimand,
                    "number": row.block.number,
                }
                if connection.execute(_SETTLE, values).rowcount != 1:
                    raise Fenced(f"block {row.block.number} of {estimand} was settled meanwhile")
            items = [asdict(item) for row in settled for item in row.rows]
            if items:  # A trace that was forgotten and came again has one already.
                connection.execute(upsert(schema.label_item).on_conflict_do_nothing(), items)
            _add_days(connection, settled)
            _save(connection, estimand, cut)


def _save(connection: Connection, estimand: str, cut: Cut) -> None:
    statement = upsert(schema.label_state)
    values = {**asdict(cut), "estimand": estimand, "tuning": cut.tuning.to_bytes()}
    changed = {name: statement.excluded[name] for name in values if name != "estimand"}
    connection.execute(statement.on_conflict_do_update(index_elements=["estimand"], set_=changed), values)


def _add_days(connection: Connection, settled: Sequence[Settled]) -> None:
    """Add what the blocks' days come to to the sums; one row after another, since blocks share days."""
    table = schema.estimate_day
    keys = [column.name for column in table.primary_key]
    statement = upsert(table)
    changed: dict[str, ColumnElement[Any]] = {
        column.name: table.c[column.name] + statement.excluded[column.name]
        for column in table.columns
        if column.name not in keys
    }
    least = "least_probability"
    changed[least] = func.least(table.c[least], statement.excluded[least])
    for row in settled:
        for day in row.days:
            connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), asdict(day))
