"""The log of observations in PostgreSQL, the baselines frozen from it and the detectors folded over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.alarm import AlarmState, Severity
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline
from monitor.drift.controller import ActiveBaseline, FoldStep, StoredFold
from monitor.drift.fold import Detector
from monitor.drift.log import Excerpt, ObservationBatch, TraceRef, excerpt_of
from monitor.errors import Fenced, InvalidInput
from monitor.postgres import schema
from monitor.postgres.alarms import insert_alarm
from monitor.postgres.engine import transaction
from monitor.stats.edetector import State

PLACE_LOCK = 0x524C4846_03
FREEZE_LOCK = 0x524C4846_05  # an operator and the controller may freeze at once, or while a model is promoted
PAGE_TRACES = 20_000
_PLACED = text(  # an empty checkpoint shares its first index with the one after it
    "select coalesce((select first_index + traces from checkpoint where first_index is not null"
    " order by first_index desc, traces desc limit 1), 0)"
)
_PLACE = text(
    "update checkpoint set first_index = placed.first_index from ("
    "  select checkpoint_id, :placed + sum(traces) over (order by xact, checkpoint_id) - traces as first_index"
    "  from checkpoint where first_index is null and xact < pg_snapshot_xmin(pg_current_snapshot())"
    ") placed where checkpoint.checkpoint_id = placed.checkpoint_id"
)
_BATCHES = text(
    "select c.first_index, c.last_timestamp, b.* from checkpoint c join stream_batch b using (checkpoint_id)"
    " where c.first_index < :stop and c.first_index >= :floor and c.first_index + c.traces > :start"
    " order by c.first_index, b.signal, b.policy_model, b.scorer_version"
)
_FLOOR = text(  # the checkpoint that holds the first trace begins at or before it
    "select coalesce(max(first_index), 0) from checkpoint where first_index <= :start and traces > 0"
)
_LOCATE = text(
    "select i.trace_index, t.trace_id, t.timestamp from unnest(cast(:indices as bigint[])) as i(trace_index)"
    " cross join lateral (select checkpoint_id, first_index from checkpoint"
    "   where first_index <= i.trace_index and traces > 0 order by first_index desc limit 1) c"
    " join trace t on t.checkpoint_id = c.checkpoint_id and t.ordinal = i.trace_index - c.first_index"
)


class PostgresFoldStore:
    """The controller's `FoldStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def place_checkpoints(self) -> int:
        with transaction(self._engine) as connection:
            connection.execute(text(f"select pg_advisory_xact_lock({PLACE_LOCK})"))
            connection.execute(_PLACE, {"placed": placed_traces(connection)})
            return placed_traces(connection)

    def batches(self, start: int, stop: int) -> Iterator[ObservationBatch]:
        for first in range(start, stop, PAGE_TRACES):
            last = min(first + PAGE_TRACES, stop)
            with transaction(self._engine) as connection:
                floor = connection.execute(_FLOOR, {"start": first}).scalar_one()
                rows = connection.execute(_BATCHES, {"start": first, "stop": last, "floor": floor}).all()
            parts = (_batch(row).between(first, last) for row in rows)
            yield from (part for part in parts if len(part.indices))

    def excerpt(self, stream: StreamKey, start: int, stop: int) -> Excerpt:
        return excerpt_of(self.batches(start, stop), stream, start, stop)

    def locate(self, indices: Sequence[int]) -> list[TraceRef]:
        with transaction(self._engine) as connection:
            rows = connection.execute(_LOCATE, {"indices": list(indices)}).all()
        found = {row.trace_index: TraceRef(row.trace_index, row.trace_id, row.timestamp) for row in rows}
        return [found[index] for index in indices]

    def active(self) -> ActiveBaseline | None:
        with transaction(self._engine) as connection:
            return active_baseline(connection)

    def freeze(self, baseline: Baseline, *, by: str, note: str) -> int:
        if not baseline.signals:
            raise InvalidInput(
                f"baseline of traces {baseline.first_index} to {baseline.stop_index}: no signal has enough observations"
            )
        with transaction(self._engine) as connection:
            hold_freezes(connection)
            connection.execute(update(schema.baseline).where(schema.baseline.c.active).values(active=False))
            superseded = schema.alarm.c.state != AlarmState.SUPERSEDED
            connection.execute(update(schema.alarm).where(superseded).values(state=AlarmState.SUPERSEDED))
            values = {
                "created_by": by,
                "note": note,
                "active": True,
                "first_index": baseline.first_index,
                "stop_index": baseline.stop_index,
                "content": baseline.to_json(),
            }
            inserted = insert(schema.baseline).values(values).returning(schema.baseline.c.baseline_id)
            baseline_id = int(connection.execute(inserted).scalar_one())
            position = {"baseline_id": baseline_id, "next_index": baseline.stop_index}
            connection.execute(insert(schema.fold_position).values(position))
            return baseline_id

    def load_fold(self, baseline_id: int) -> StoredFold:
        position, detector = schema.fold_position.c, schema.detector.c
        with transaction(self._engine) as connection:
            query = select(position.next_index).where(position.baseline_id == baseline_id)
            next_index = connection.execute(query).scalar_one()
            rows = connection.execute(select(schema.detector).where(detector.baseline_id == baseline_id)).all()
            reached = _reached(connection, baseline_id)
        return StoredFold(int(next_index), {_key(row): _detector(row, reached) for row in rows})

    def save_fold(self, step: FoldStep) -> None:
        position = schema.fold_position.c
        advance = (
            update(schema.fold_position)
            .where(position.baseline_id == step.baseline_id, position.next_index == step.start_index)
            .values(next_index=step.stop_index)
        )
        with transaction(self._engine) as connection:
            _require_active(connection, step.baseline_id)
            if connection.execute(advance).rowcount != 1:
                raise Fenced(f"baseline {step.baseline_id}: the fold is not at trace {step.start_index} any more")
            if step.detectors:
                connection.execute(_upsert_detectors(), [_detector_row(step, key) for key in sorted(step.detectors)])
            for alarm in step.alarms:
                insert_alarm(connection, step.baseline_id, alarm)


def hold_freezes(connection: Connection) -> None:
    """Let nobody else freeze a baseline until this transaction ends."""
    connection.execute(text(f"select pg_advisory_xact_lock({FREEZE_LOCK})"))


def placed_traces(connection: Connection) -> int:
    """Return how many traces have a place in fold order."""
    return int(connection.execute(_PLACED).scalar_one())


def active_baseline(connection: Connection) -> ActiveBaseline | None:
    row = connection.execute(select(schema.baseline).where(schema.baseline.c.active)).one_or_none()
    if row is None:
        return None
    return ActiveBaseline(row.baseline_id, Baseline.from_json(row.first_index, row.stop_index, row.content))


def extend_baseline(connection: Connection, extended: ActiveBaseline) -> None:
    """Store further laws of the active baseline's own window."""
    chosen = schema.baseline.c.baseline_id == extended.baseline_id
    connection.execute(update(schema.baseline).where(chosen).values(content=extended.baseline.to_json()))


def _require_active(connection: Connection, baseline_id: int) -> None:
    """Keep the baseline active to the transaction's end: its alarms would be open for ever under another one."""
    chosen = schema.baseline.c.baseline_id == baseline_id, schema.baseline.c.active
    if (
        connection.execute(select(schema.baseline.c.baseline_id).where(*chosen).with_for_update(read=True)).first()
        is None
    ):
        raise Fenced(f"baseline {baseline_id} was replaced meanwhile")


def _batch(row: Row[Any]) -> ObservationBatch:
    return ObservationBatch(
        signal=row.signal,
        policy_model=row.policy_model,
        scorer_version=row.scorer_version,
        cohorts=tuple(row.cohorts),
        cohort_codes=np.frombuffer(row.cohort_codes, dtype="<i4"),
        indices=np.frombuffer(row.ordinals, dtype="<i4").astype(np.int64) + row.first_index,
        values=np.frombuffer(row.values, dtype="<f8"),
        timestamp=row.last_timestamp,
    )


def _key(row: Row[Any]) -> StreamKey:
    return StreamKey(row.signal, row.cohort, row.policy_model, row.scorer_version)


def _reached(connection: Connection, baseline_id: int) -> dict[StreamKey, frozenset[Severity]]:
    rows = connection.execute(select(schema.alarm).where(schema.alarm.c.baseline_id == baseline_id)).all()
    reached: dict[StreamKey, frozenset[Severity]] = {}
    for row in rows:
        reached[_key(row)] = reached.get(_key(row), frozenset()) | {Severity(row.severity)}
    return reached


def _detector(row: Row[Any], reached: dict[StreamKey, frozenset[Severity]]) -> Detector:
    return Detector(
        state=State.from_bytes(row.state),
        observations=row.observations,
        mean=row.mean,
        last_timestamp=row.last_timestamp,
        reached=reached.get(_key(row), frozenset()),
    )


def _detector_row(step: FoldStep, key: StreamKey) -> dict[str, Any]:
    detector, evidence_log = step.detectors[key]
    return {
        "baseline_id": step.baseline_id,
        **asdict(key),
        "observations": detector.observations,
        "mean": detector.mean,
        "evidence_log": evidence_log,
        "last_timestamp": detector.last_timestamp,
        "state": detector.state.to_bytes(),
    }


def _upsert_detectors() -> Any:
    statement = upsert(schema.detector)
    changed = ("observations", "mean", "evidence_log", "last_timestamp", "state")
    return statement.on_conflict_do_update(
        constraint=schema.detector.primary_key, set_={name: statement.excluded[name] for name in changed}
    )
