"""The fold in PostgreSQL: the log as it reads it, the baselines frozen from it, and the streams folded over it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.alarm import AlarmState, Severity
from monitor.domain.covariates import Covariates
from monitor.domain.observation import (
    LogEnd,
    LogEntry,
    ObservationBatch,
    PlacedEntry,
    Series,
    Source,
    SubjectRef,
    Subjects,
    SubjectWindow,
    moment_of,
)
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline
from monitor.drift.log import Excerpt, LabelSpan, SourceSpan, excerpt_of
from monitor.drift.stored import ActiveBaseline, FoldPosition, FoldStep, StoredFold, StoredStream
from monitor.errors import Conflict, Fenced
from monitor.postgres import schema
from monitor.postgres.alarms import insert_alarm, recover_alarm, supersede_alarms
from monitor.postgres.audit import audit_freeze
from monitor.postgres.days import save_days
from monitor.postgres.engine import transaction
from monitor.postgres.incidents import file_alarms, hold_incidents, settle
from monitor.postgres.label_span import label_span
from monitor.postgres.log import append_entry, log_end, place_entries, placed_traces, trace_numbers
from monitor.postgres.probe_span import feedback_spans, probe_spans
from monitor.postgres.registry import replaced_scorers
from monitor.postgres.version_span import version_began
from monitor.postgres.window import copy_window
from monitor.signals.estimand import Estimand

FREEZE_LOCK = 0x524C4846_05  # an operator and the controller may freeze at once, or while a model is promoted
PAGE_PLACES = 20_000
_COLUMNS = (
    "select e.sequence, e.source, e.first_place, e.places, e.created_at, e.last_timestamp, b.signal, b.policy_model,"
    " b.scorer_version, b.cohorts, b.cohort_codes, b.ordinals, b.values, b.inclusion"
    " from log_entry e left join observation_batch b using (entry_id)"
)
_ORDER = " order by e.sequence, b.signal, b.policy_model, b.scorer_version"
_SUBJECTS = (  # one row an entry that has any, apart from its batches: they would repeat it
    "select e.sequence, e.source, e.first_place, e.places, e.created_at, e.last_timestamp, s.timestamps, s.covariates,"
    " s.covariates_version from log_entry e join log_subject s using (entry_id)"
)
_STEP = " where e.sequence >= :sequence and e.sequence < :sequence + :limit and e.first_place < :stop"
_PART = " where e.first_place < :stop and e.first_place >= :floor and e.first_place + e.places > :start"
_NAMED = " and (cast(:signals as text[]) is null or b.signal = any(cast(:signals as text[])))"
_ENTRIES, _ENTRY_SUBJECTS = text(_COLUMNS + _STEP + _ORDER), text(_SUBJECTS + _STEP)
_WINDOW, _WINDOW_SUBJECTS = text(_COLUMNS + _PART + _NAMED + _ORDER), text(_SUBJECTS + _PART + " order by e.sequence")
_FLOOR = text(  # the entry that holds the first place begins at or before it
    "select coalesce(max(first_place), 0) from log_entry where first_place <= :start and places > 0"
)
_LOCATE = text(
    "select i.place, s.subject_ids[i.place - e.first_place + 1] as subject_id,"
    " substring(s.timestamps from (8 * (i.place - e.first_place))::int + 1 for 8) as timestamp"
    " from unnest(cast(:places as bigint[])) as i(place)"
    " cross join lateral (select entry_id, first_place from log_entry"
    "   where first_place <= i.place and places > 0 order by first_place desc limit 1) e"
    " join log_subject s using (entry_id)"
)
# Counted from the log's end, for its beginning may be forgotten; it stops at the entry that holds the trace.
_PLACE_OF_TRACE = text(
    "select first_place + :number - before from ("
    "  select sequence, first_place, (select value from running_total where name = 'traces')"
    "    - sum(places) over (order by sequence desc) as before"
    "  from log_entry where source = 'traces' and sequence is not null"
    ") counted where before <= :number order by sequence desc limit 1"
)
_SEQUENCE = text(  # of the entry that holds the place, or of the next one to come
    "select coalesce((select sequence from log_entry where first_place + places > :place"
    "   and first_place >= (select coalesce(max(first_place), 0) from log_entry where first_place <= :place)"
    "   order by first_place, sequence limit 1), (select coalesce(max(sequence), 0) + 1 from log_entry))"
)
_SECONDS_SINCE = text(
    "select extract(epoch from now() - created_at)::float from log_entry order by entry_id desc limit 1"
)
_TIME_BEFORE = text("select max(created_at) from log_entry where sequence = :sequence - 1")
_STREAM_VALUES = ("observations", "mean", "evidence_log", "last_timestamp", "episode", "severity")


class PostgresFoldStore:
    """The controller's `FoldStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def place_entries(self) -> LogEnd:
        with transaction(self._engine) as connection:
            return place_entries(connection)

    def tell_time(self, *, after_seconds: float) -> bool:
        """Write an entry that only tells the time, if none was written for so long; say whether it was.

        So the fold's clock goes on, and goes on alike when it is folded again, while nothing is observed.
        """
        with transaction(self._engine) as connection:
            last = connection.execute(_SECONDS_SINCE).scalar_one_or_none()
            if last is not None and last < after_seconds:
                return False
            append_entry(connection, LogEntry(Source.CLOCK, Subjects((), np.empty(0, np.int64))))
            return True

    def next_place(self) -> int:
        with transaction(self._engine) as connection:
            return log_end(connection).next_place

    def placed_traces(self) -> int:
        with transaction(self._engine) as connection:
            return placed_traces(connection)

    def place_of_trace(self, number: int) -> int:
        with transaction(self._engine) as connection:
            place = connection.execute(_PLACE_OF_TRACE, {"number": number}).scalar_one_or_none()
        if place is None:
            raise Conflict(f"trace {number}: its observations are forgotten (retention.log_days): take a later window")
        return int(place)

    def position_at(self, place: int) -> FoldPosition:
        with transaction(self._engine) as connection:
            return FoldPosition(connection.execute(_SEQUENCE, {"place": place}).scalar_one(), place)

    def baseline(self, baseline_id: int) -> Baseline | None:
        """Return the baseline of that number, whether it is still the active one or not."""
        query = select(schema.baseline).where(schema.baseline.c.baseline_id == baseline_id)
        with transaction(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Baseline.from_json(row.first_place, row.stop_place, row.content)

    def trace_numbers(self, places: Sequence[int]) -> list[int]:
        """Return how many traces stand before each of *places*."""
        with transaction(self._engine) as connection:
            return trace_numbers(connection, places)

    def entries(self, start: FoldPosition, *, max_places: int) -> Iterator[PlacedEntry]:
        bounds = {"sequence": start.next_sequence, "limit": max_places, "stop": start.next_place + max_places}
        with transaction(self._engine) as connection:
            rows = connection.execute(_ENTRIES, bounds).all()
            subjects = {row.sequence: row for row in connection.execute(_ENTRY_SUBJECTS, bounds)}
        for sequence, group in groupby(rows, key=lambda row: row.sequence):
            batches = list(group)
            observations = tuple(batch_of(row).between(start.next_place) for row in batches if row.signal is not None)
            yield entry_of(batches[0], subjects.get(sequence), observations)

    def window(self, start: int, stop: int, signals: Collection[str] | None = None) -> Iterator[ObservationBatch]:
        named = None if signals is None else sorted(signals)
        for first in range(start, stop, PAGE_PLACES):
            last = min(first + PAGE_PLACES, stop)
            with transaction(self._engine) as connection:
                floor = connection.execute(_FLOOR, {"start": first}).scalar_one()
                part = {"start": first, "stop": last, "floor": floor, "signals": named}
                rows = connection.execute(_WINDOW, part).all()
            parts = (batch_of(row).between(first, last) for row in rows if row.signal is not None)
            yield from (part for part in parts if len(part.places))

    def subjects(self, start: int, stop: int) -> SubjectWindow:
        parts = []
        for first in range(start, stop, PAGE_PLACES):
            last = min(first + PAGE_PLACES, stop)
            with transaction(self._engine) as connection:
                floor = connection.execute(_FLOOR, {"start": first}).scalar_one()
                rows = connection.execute(_WINDOW_SUBJECTS, {"start": first, "stop": last, "floor": floor}).all()
            parts += [entry_of(row, row, ()).subjects(first, last) for row in rows]
        return SubjectWindow.join(parts)

    def excerpt(self, stream: StreamKey, start: int, stop: int) -> Excerpt:
        return excerpt_of(self.window(start, stop, {stream.signal}), stream)

    def locate(self, places: Sequence[int]) -> list[SubjectRef]:
        with transaction(self._engine) as connection:
            rows = connection.execute(_LOCATE, {"places": list(places)}).all()
        found = {
            row.place: SubjectRef(
                row.place, row.subject_id, moment_of(int.from_bytes(row.timestamp, "little", signed=True))
            )
            for row in rows
        }
        return [found[place] for place in places]

    def active(self, known: ActiveBaseline | None = None) -> ActiveBaseline | None:
        with transaction(self._engine) as connection:
            return active_baseline(connection, known)

    def freeze(
        self,
        baseline: Baseline,
        *,
        by: str,
        note: str,
        role: str | None = None,
        only_first: bool = False,
        instead_of: int | None = None,
    ) -> ActiveBaseline:
        if not baseline.signals:
            raise Conflict(
                f"baseline of the places {baseline.first_place} to {baseline.stop_place}:"
                " no signal has enough observations"
            )
        with transaction(self._engine) as connection:
            hold_freezes(connection)
            there = active_baseline(connection)
            if there is not None and (only_first or instead_of not in {None, there.baseline_id}):
                return there
            connection.execute(update(schema.baseline).where(schema.baseline.c.active).values(active=False))
            supersede_alarms(connection)
            values = {
                "created_by": by,
                "note": note,
                "active": True,
                "first_place": baseline.first_place,
                "stop_place": baseline.stop_place,
                "content": baseline.to_json(),
            }
            inserted = insert(schema.baseline).values(values).returning(schema.baseline.c.baseline_id)
            baseline_id = int(connection.execute(inserted).scalar_one())
            sequence = connection.execute(_SEQUENCE, {"place": baseline.stop_place}).scalar_one()
            position = {"baseline_id": baseline_id, "next_sequence": sequence, "next_place": baseline.stop_place}
            connection.execute(insert(schema.fold_position).values(position))
            copy_window(connection, baseline_id, former=None if there is None else there.baseline_id)
            audit_freeze(connection, baseline_id, by=by, role=role, note=note)
            active = active_baseline(connection)
            assert active is not None
            return active

    def extend(self, active: ActiveBaseline, baseline: Baseline) -> ActiveBaseline:
        with transaction(self._engine) as connection:
            _extend(connection, active, baseline)
            there = active_baseline(connection)
        assert there is not None
        return there

    def label_span(self, estimand: Estimand, place: int) -> LabelSpan | None:
        with transaction(self._engine) as connection:
            return label_span(connection, estimand.name, place)

    def probe_spans(self, place: int, *, outcomes: int) -> list[SourceSpan]:
        with transaction(self._engine) as connection:
            return probe_spans(connection, place, outcomes=outcomes)

    def feedback_spans(self, place: int, *, traces: int) -> list[SourceSpan]:
        with transaction(self._engine) as connection:
            return feedback_spans(connection, place, traces=traces)

    def began(self, key: tuple[str, str], *, since: int) -> int | None:
        with transaction(self._engine) as connection:
            return version_began(connection, key, since=since)

    def load_fold(self, baseline_id: int) -> StoredFold:
        position, stream = schema.fold_position.c, schema.detector.c
        with transaction(self._engine) as connection:
            query = select(position.next_sequence, position.next_place).where(position.baseline_id == baseline_id)
            at = FoldPosition(*connection.execute(query).one())
            time = connection.execute(_TIME_BEFORE, {"sequence": at.next_sequence}).scalar_one()
            rows = connection.execute(select(schema.detector).where(stream.baseline_id == baseline_id)).all()
        return StoredFold(at, time, dict(map(_stream, rows)))

    def save_fold(self, step: FoldStep) -> None:
        with transaction(self._engine) as connection:
            save_step(connection, step)

    def adopt(self, active: ActiveBaseline, baseline: Baseline, step: FoldStep) -> ActiveBaseline | None:
        with transaction(self._engine) as connection:
            if not _extend(connection, active, baseline):
                return None
            save_step(connection, step)
            return active_baseline(connection)


def save_step(connection: Connection, step: FoldStep) -> None:
    """Store what a step of the fold makes true together; raises `Fenced` where another leader folded meanwhile."""
    position = schema.fold_position.c
    advance = (
        update(schema.fold_position)
        .where(position.baseline_id == step.baseline_id)
        .where(position.next_sequence == step.start.next_sequence, position.next_place == step.start.next_place)
        .values(asdict(step.stop))
    )
    require_active(connection, step.baseline_id)
    if connection.execute(advance).rowcount != 1:
        raise Fenced(f"baseline {step.baseline_id}: the fold is not at place {step.start.next_place} any more")
    if step.streams:
        statement = upsert(schema.detector)
        changed = (*_STREAM_VALUES, "state", "renewed_state", "renewed_since", "renewed_for")
        statement = statement.on_conflict_do_update(
            constraint=schema.detector.primary_key, set_={name: statement.excluded[name] for name in changed}
        )
        rows = [
            {
                "baseline_id": step.baseline_id,
                **asdict(key),
                **{name: getattr(stream, name) for name in _STREAM_VALUES},
                "state": stream.evidence,
                "renewed_state": stream.renewed,
                "renewed_since": stream.since,
                "renewed_for": stream.patience,
            }
            for key, stream in sorted(step.streams.items())
        ]
        connection.execute(statement, rows)
    save_days(connection, step.baseline_id, step.days)
    hold_incidents(connection)
    replaced = replaced_scorers(connection) if step.alarms else frozenset()
    for alarm in step.alarms:
        late = alarm.stream.scorer_version in replaced
        insert_alarm(connection, step.baseline_id, alarm, AlarmState.SUPERSEDED if late else AlarmState.OPEN)
    ended = [recover_alarm(connection, step.baseline_id, recovery) for recovery in step.recoveries]
    file_alarms(connection, step.filing)
    settle(connection, [number for touched in ended for number in touched])


def _extend(connection: Connection, active: ActiveBaseline, baseline: Baseline) -> bool:
    table = schema.baseline.c
    same = table.baseline_id == active.baseline_id, table.revision == active.revision, table.active
    changed = {"content": baseline.to_json(), "revision": table.revision + 1}
    return connection.execute(update(schema.baseline).where(*same).values(changed)).rowcount == 1


def hold_freezes(connection: Connection) -> None:
    """Let nobody else freeze a baseline until this transaction ends."""
    connection.execute(text(f"select pg_advisory_xact_lock({FREEZE_LOCK})"))


def active_baseline(connection: Connection, known: ActiveBaseline | None = None) -> ActiveBaseline | None:
    """Return the active baseline; *known* itself, its laws unread, where it is that one as it stands."""
    table = schema.baseline.c
    head = connection.execute(select(table.baseline_id, table.revision).where(table.active)).one_or_none()
    if head is None:
        return None
    if known is not None and (known.baseline_id, known.revision) == (head.baseline_id, head.revision):
        return known
    row = connection.execute(select(schema.baseline).where(table.baseline_id == head.baseline_id)).one()
    baseline = Baseline.from_json(row.first_place, row.stop_place, row.content)
    return ActiveBaseline(row.baseline_id, row.revision, baseline)


def require_active(connection: Connection, baseline_id: int) -> None:
    """Keep the baseline active to the transaction's end: its alarms would be open for ever under another one."""
    chosen = schema.baseline.c.baseline_id == baseline_id, schema.baseline.c.active
    held = select(func.count()).select_from(
        select(schema.baseline.c.baseline_id).where(*chosen).with_for_update(read=True).subquery()
    )
    if connection.execute(held).scalar_one() == 0:
        raise Fenced(f"baseline {baseline_id} was replaced meanwhile")


def entry_of(head: Row[Any], subjects: Row[Any] | None, observations: tuple[ObservationBatch, ...]) -> PlacedEntry:
    """Return the entry of *head*; *subjects* is its row of them, None where it holds none."""
    version = None if subjects is None else subjects.covariates_version
    return PlacedEntry(
        source=Source(head.source),
        sequence=head.sequence,
        first_place=head.first_place,
        places=head.places,
        at=head.created_at,
        last_timestamp=head.last_timestamp,
        observations=observations,
        timestamps=np.frombuffer(b"" if subjects is None else subjects.timestamps, dtype="<i8"),
        covariates=None if subjects is None or version is None else Covariates.decode(subjects.covariates, version),
    )


def batch_of(row: Row[Any]) -> ObservationBatch:
    return ObservationBatch(
        series=Series(row.signal, row.policy_model, row.scorer_version),
        cohorts=tuple(row.cohorts),
        cohort_codes=np.frombuffer(row.cohort_codes, dtype="<i4"),
        places=np.frombuffer(row.ordinals, dtype="<i4").astype(np.int64) + row.first_place,
        values=np.frombuffer(row.values, dtype="<f8"),
        inclusion=None if row.inclusion is None else np.frombuffer(row.inclusion, dtype="<f8"),
    )


def _stream(row: Row[Any]) -> tuple[StreamKey, StoredStream]:
    return StreamKey(row.signal, row.cohort, row.policy_model, row.scorer_version), StoredStream(
        evidence=row.state,
        evidence_log=row.evidence_log,
        observations=row.observations,
        mean=row.mean,
        last_timestamp=row.last_timestamp,
        episode=row.episode,
        severity=None if row.severity is None else Severity(row.severity),
        since=row.renewed_since,
        patience=row.renewed_for,
        renewed=row.renewed_state,
    )
