"""The log of observations in PostgreSQL, the baselines frozen from it and the detectors folded over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
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
from monitor.postgres.log import EPOCH, place_entries
from monitor.postgres.window import copy_window
from monitor.stats.edetector import State

FREEZE_LOCK = 0x524C4846_05  # an operator and the controller may freeze at once, or while a model is promoted
PAGE_TRACES = 20_000
_BATCHES = text(
    "select e.first_place, e.last_timestamp, b.* from log_entry e join observation_batch b using (entry_id)"
    " where e.first_place < :stop and e.first_place >= :floor and e.first_place + e.places > :start"
    " order by e.first_place, b.signal, b.policy_model, b.scorer_version"
)
_FLOOR = text(  # the entry that holds the first place begins at or before it
    "select coalesce(max(first_place), 0) from log_entry where first_place <= :start and places > 0"
)
_LOCATE = text(
    "select i.place, s.subject_ids[i.place - e.first_place + 1] as trace_id,"
    " substring(s.timestamps from (8 * (i.place - e.first_place))::int + 1 for 8) as timestamp"
    " from unnest(cast(:indices as bigint[])) as i(place)"
    " cross join lateral (select entry_id, first_place from log_entry"
    "   where first_place <= i.place and places > 0 order by first_place desc limit 1) e"
    " join log_subject s using (entry_id)"
)
_SEQUENCE = text(  # of the entry that holds the place, or of the next one to come
    "select coalesce((select sequence from log_entry where first_place + places > :place"
    "   and first_place >= (select coalesce(max(first_place), 0) from log_entry where first_place <= :place)"
    "   order by first_place limit 1), (select coalesce(max(sequence), 0) + 1 from log_entry))"
)


class PostgresFoldStore:
    """The controller's `FoldStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def place_checkpoints(self) -> int:
        with transaction(self._engine) as connection:
            return place_entries(connection)

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
        found = {row.place: TraceRef(row.place, row.trace_id, _moment(row.timestamp)) for row in rows}
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
                "first_place": baseline.first_index,
                "stop_place": baseline.stop_index,
                "content": baseline.to_json(),
            }
            inserted = insert(schema.baseline).values(values).returning(schema.baseline.c.baseline_id)
            baseline_id = int(connection.execute(inserted).scalar_one())
            sequence = connection.execute(_SEQUENCE, {"place": baseline.stop_index}).scalar_one()
            position = {"baseline_id": baseline_id, "next_sequence": sequence, "next_place": baseline.stop_index}
            connection.execute(insert(schema.fold_position).values(position))
            copy_window(connection, baseline_id)
            return baseline_id

    def load_fold(self, baseline_id: int) -> StoredFold:
        position, detector = schema.fold_position.c, schema.detector.c
        with transaction(self._engine) as connection:
            query = select(position.next_place).where(position.baseline_id == baseline_id)
            next_place = connection.execute(query).scalar_one()
            rows = connection.execute(select(schema.detector).where(detector.baseline_id == baseline_id)).all()
            reached = _reached(connection, baseline_id)
        return StoredFold(int(next_place), {_key(row): _detector(row, reached) for row in rows})

    def save_fold(self, step: FoldStep) -> None:
        position = schema.fold_position.c
        with transaction(self._engine) as connection:
            _require_active(connection, step.baseline_id)
            sequence = connection.execute(_SEQUENCE, {"place": step.stop_index}).scalar_one()
            advance = (
                update(schema.fold_position)
                .where(position.baseline_id == step.baseline_id, position.next_place == step.start_index)
                .values(next_sequence=sequence, next_place=step.stop_index)
            )
            if connection.execute(advance).rowcount != 1:
                raise Fenced(f"baseline {step.baseline_id}: the fold is not at trace {step.start_index} any more")
            if step.detectors:
                connection.execute(_upsert_detectors(), [_detector_row(step, key) for key in sorted(step.detectors)])
            for alarm in step.alarms:
                insert_alarm(connection, step.baseline_id, alarm)


def hold_freezes(connection: Connection) -> None:
    """Let nobody else freeze a baseline until this transaction ends."""
    connection.execute(text(f"select pg_advisory_xact_lock({FREEZE_LOCK})"))


def active_baseline(connection: Connection) -> ActiveBaseline | None:
    row = connection.execute(select(schema.baseline).where(schema.baseline.c.active)).one_or_none()
    if row is None:
        return None
    return ActiveBaseline(row.baseline_id, Baseline.from_json(row.first_place, row.stop_place, row.content))


def extend_baseline(connection: Connection, extended: ActiveBaseline) -> None:
    """Store further laws of the active baseline's own window."""
    chosen = schema.baseline.c.baseline_id == extended.baseline_id
    values = {"content": extended.baseline.to_json(), "revision": schema.baseline.c.revision + 1}
    connection.execute(update(schema.baseline).where(chosen).values(values))


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
        indices=np.frombuffer(row.ordinals, dtype="<i4").astype(np.int64) + row.first_place,
        values=np.frombuffer(row.values, dtype="<f8"),
        timestamp=row.last_timestamp,
    )


def _moment(packed: bytes) -> datetime:
    return EPOCH + timedelta(microseconds=int.from_bytes(packed, "little", signed=True))


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
