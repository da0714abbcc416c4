"""What is forgotten, and when: texts by whole days, ids and the log's beginning by small deletions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import structlog
from sqlalchemy import Engine, TextClause, text

from monitor.postgres.engine import transaction
from monitor.postgres.partitions import (
    DEFAULT_PARTITION,
    TableInUse,
    brief_locks,
    database_day,
    make_partitions_ahead,
    partition_days,
    partition_name,
)

IDS_AT_ONCE = 20_000
ENTRIES_AT_ONCE = 1_000
TURN_SECONDS = 5.0  # the leader has other duties, and a lease to renew
log = structlog.get_logger(__name__)

_LATE_TEXTS = text(f"delete from {DEFAULT_PARTITION} where stored_on < :day")  # noqa: S608
# An inactive baseline is never scored again, but the report may still be asked for while its traces have their texts.
_WINDOWS = text(
    "delete from baseline_trace using baseline b where baseline_trace.baseline_id = b.baseline_id and not b.active"
    " and (b.created_at at time zone 'utc')::date < :day"
)
_PROBE_ANSWERS = text(
    "delete from probe_answer a using probe_run r where r.run_id = a.run_id"
    " and (r.started_at at time zone 'utc')::date < :day"
)
_LABELLED_TEXTS = text("delete from preference_text where kept_on < :day")
_REPORTS = text("delete from job_report where (created_at at time zone 'utc')::date < :day")
_PAIRS = text("delete from preference_pair where used_on < :day")
_IDS = text(
    "with gone as ("
    "  delete from stored_trace where ctid = any(array("
    "    select ctid from stored_trace where stored_on < :day limit :limit)) returning trace_id"
    "), scores as (delete from score using gone where score.trace_id = gone.trace_id)"
    " select count(*) from gone"
)
# Entries are forgotten from the log's beginning, and never those since the active baseline's window began: the fold,
# what it says of an onset, and a baseline that is frozen anew read them. Nor those that a block of labels waits with.
_ENTRIES = text(
    "with old as materialized ("
    "  select entry_id from log_entry e where sequence is not null"
    "  and created_at < cast(:day as timestamp) at time zone 'utc'"
    "  and first_place + places <= (select first_place from baseline where active)"
    "  and not exists (select from label_block b where b.outcome is null and b.first_place < e.first_place + e.places)"
    "  order by sequence limit :limit"
    "), batches as (delete from observation_batch b using old where b.entry_id = old.entry_id),"
    " subjects as (delete from log_subject s using old where s.entry_id = old.entry_id),"
    " counts as (delete from checkpoint c using old where c.entry_id = old.entry_id),"
    " entries as (delete from log_entry e using old where e.entry_id = old.entry_id)"
    " select count(*) from old"
)
_ROLLUPS = text(
    "with gone as (delete from stream_rollup where ctid = any(array("
    "  select ctid from stream_rollup where start < cast(:day as timestamp) at time zone 'utc' limit :limit))"
    "  returning 1) select count(*) from gone"
)
_STREAMS = text("delete from stream s where not exists (select from stream_rollup r where r.stream_id = s.stream_id)")


@dataclass(frozen=True, slots=True)
class Retention:
    """Days that each kind of row is kept; 0 keeps it for ever."""

    text_days: int
    trace_id_days: int
    log_days: int
    pair_days: int = 0
    rollup_days: int = 0


class PostgresRetention:
    """Forgets what is older than its time; safe to interrupt anywhere and to run again."""

    def __init__(self, engine: Engine, retention: Retention, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._retention = retention
        self._clock = clock

    def make_partitions(self) -> None:
        """Make the next days' partitions; until there is one, a day's traces lie in the default partition."""
        try:
            with transaction(self._engine) as connection, brief_locks(connection):
                make_partitions_ahead(connection)
        except TableInUse as reason:
            log.warning("partitions_not_made", reason=str(reason))

    def tidy(self) -> None:
        """Forget what is due; what is left after `TURN_SECONDS` is left for the next time."""
        until = self._clock() + TURN_SECONDS
        with transaction(self._engine) as connection:
            today = database_day(connection)
        rules = self._retention
        if rules.text_days:
            self._forget_texts(today - timedelta(days=rules.text_days), until)
        if rules.trace_id_days:
            before = today - timedelta(days=rules.trace_id_days)
            self._delete(_IDS, {"day": before, "limit": IDS_AT_ONCE}, until)
        if rules.pair_days:
            with transaction(self._engine) as connection:
                for statement in (_LABELLED_TEXTS, _PAIRS, _REPORTS):
                    connection.execute(statement, {"day": today - timedelta(days=rules.pair_days)})
        if rules.log_days:
            before = today - timedelta(days=rules.log_days)
            self._delete(_ENTRIES, {"day": before, "limit": ENTRIES_AT_ONCE}, until)
        if rules.rollup_days:
            before = today - timedelta(days=rules.rollup_days)
            self._delete(_ROLLUPS, {"day": before, "limit": IDS_AT_ONCE}, until)
            with transaction(self._engine) as connection:
                connection.execute(_STREAMS)

    def _forget_texts(self, before: date, until: float) -> None:
        with transaction(self._engine) as connection:
            days = [day for day in partition_days(connection) if day < before]
            connection.execute(_LATE_TEXTS, {"day": before})
            connection.execute(_WINDOWS, {"day": before})
            connection.execute(_PROBE_ANSWERS, {"day": before})
        for day in days:
            if self._clock() >= until:
                return
            try:
                with transaction(self._engine) as connection, brief_locks(connection):
                    connection.execute(text(f"alter table trace detach partition {partition_name(day)}"))
                    connection.execute(text(f"drop table {partition_name(day)}"))
            except TableInUse:  # it holds up the other days too
                log.warning("texts_in_use", day=day.isoformat())
                return
            log.info("texts_forgotten", day=day.isoformat())

    def _delete(self, statement: TextClause, bounds: Mapping[str, object], until: float) -> None:
        while self._clock() < until:
            with transaction(self._engine) as connection:
                if not connection.execute(statement, bounds).scalar_one():
                    return
