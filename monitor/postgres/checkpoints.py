"""Checkpoints in PostgreSQL: one transaction, bulk rows by COPY, offsets by compare-and-set."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from monitor.domain.cohort import OTHER
from monitor.domain.label import LabelOutcome
from monitor.domain.observation import micros_of
from monitor.errors import Fenced, Unavailable
from monitor.ingest.join_call import Held
from monitor.ingest.offset import StoredOffset
from monitor.ingest.record import TopicPartition
from monitor.observe.gather import ObservedTrace
from monitor.pipeline.checkpoint import Checkpoint, DuplicateTrace, Waiting
from monitor.postgres import fragments
from monitor.postgres.binary import array_of_keys, array_of_texts, array_of_times
from monitor.postgres.copy import copy_binary, copy_rows, driver_of
from monitor.postgres.engine import transaction
from monitor.postgres.labels import store_labels
from monitor.postgres.log import AppendedEntry, append_entry
from monitor.postgres.partitions import TableInUse, brief_locks, make_partitions
from monitor.postgres.review_items import insert_selected
from monitor.postgres.trace_rows import COPY_TRACES, trace_rows

COHORT_LOCK = 0x524C4846_02
PARTITION_RETRY_SECONDS = 60.0  # each try may hold writers up for a moment
log = structlog.get_logger(__name__)
_ADVANCE = text(
    "update consumer_offset set next_offset = :stop, topic_id = coalesce(:topic_id, topic_id),"
    " leader_epoch = :leader_epoch, bad_run = :bad_run where group_id = :group_id and topic = :topic"
    " and partition = :partition and next_offset = :start"
)
_CHECKPOINT = text(
    "insert into checkpoint (entry_id, repeats, duplicates, skipped, preferences, dead_letters, labels)"
    " values (:entry_id, :repeats, :duplicates, cast(:skipped as jsonb), :preferences, cast(:dead_letters as jsonb),"
    " :labels)"
)
# %b sends an array in binary: writing thousands of ids and keys as escaped text costs more than the query itself.
_KNOWN_TRACES = "select trace_id from stored_trace where trace_id = any(%b::text[])"
_STORED_TRACES = (
    "insert into stored_trace (trace_id, entry_id, ordinal, stored_on) select id, entry_id, number - 1, %b::date"
    " from log_subject cross join unnest(subject_ids) with ordinality as subject(id, number) where entry_id = %b"
)
_LAST_COUNTED = "select key, last_counted from repeat_key where key = any(%b::bytea[])"
_REPEAT_KEYS = (
    "insert into repeat_key (key, last_counted) select * from unnest(%b::bytea[], %b::timestamptz[])"
    " on conflict (key) do update set last_counted = excluded.last_counted"
)
# The earliest of the latest entries' times: one trace dated ahead must not make every key look old.
_FORGET = text(
    "delete from repeat_key where last_counted < least(now(), (select min(last_timestamp) from ("
    "  select last_timestamp from log_entry where last_timestamp is not null and source = 'traces'"
    "  order by entry_id desc limit 100"
    ") latest)) - make_interval(secs => :keep_seconds)"
)
_SCORES = "copy score (trace_id, scorer_version, mean, lower, disagreement, members) from stdin"
_PREFERENCES = text(
    "insert into preference (preference_id, timestamp, messages, chosen, rejected, tie, annotator_id,"
    " criteria_version, cohort, dimensions, trace_id) values (:preference_id, :timestamp, cast(:messages as jsonb),"
    " :chosen, :rejected, :tie, :annotator_id, :criteria_version, :cohort, cast(:dimensions as jsonb), :trace_id)"
    " on conflict (preference_id) do nothing"
)


class PostgresCheckpoints:
    """The worker's `CheckpointStore`, and its `CohortNames`."""

    def __init__(self, engine: Engine, *, group_id: str, max_cohorts: int, patience_seconds: float = 30.0) -> None:
        self._engine = engine
        self._patience_seconds = patience_seconds
        self._group_id = group_id
        self._max_cohorts = max_cohorts
        self._cohorts: frozenset[str] = frozenset()  # kept apart, as far as known; never more once the cap is reached
        self._partitions: set[date] = set()  # days known to have one
        self._partition_at = 0.0  # when another may be made, by the process's clock

    def stored_offsets(self) -> dict[TopicPartition, StoredOffset]:
        statement = text(
            "select topic, partition, next_offset, topic_id, leader_epoch, bad_run from consumer_offset"
            " where group_id = :group_id"
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(statement, {"group_id": self._group_id}).all()
        return {
            (row.topic, row.partition): StoredOffset(row.next_offset, row.topic_id, row.leader_epoch, row.bad_run)
            for row in rows
        }

    def begin(self, offsets: Mapping[TopicPartition, StoredOffset]) -> None:
        if not offsets:
            return
        statement = text(
            "insert into consumer_offset (group_id, topic, partition, next_offset, topic_id)"
            " values (:group_id, :topic, :partition, :next_offset, :topic_id) on conflict (group_id, topic, partition)"
            " do update set topic_id = excluded.topic_id"
            " where consumer_offset.topic_id is null and excluded.topic_id is not null"
        )
        rows = [
            {
                "group_id": self._group_id,
                "topic": topic,
                "partition": partition,
                "next_offset": offset.next_offset,
                "topic_id": offset.topic_id,
            }
            for (topic, partition), offset in sorted(offsets.items())
        ]
        with transaction(self._engine) as connection:
            connection.execute(statement, rows)

    def known_traces(self, trace_ids: Sequence[str]) -> set[str]:
        with transaction(self._engine) as connection:
            rows = driver_of(connection).execute(_KNOWN_TRACES, [array_of_texts(trace_ids)])
            return {trace_id for (trace_id,) in rows}

    def waiting_parts(self, traces: Sequence[str]) -> list[Held]:
        with transaction(self._engine) as connection:
            return fragments.parts_of(connection, traces)

    def due_parts(self, excess: int) -> Waiting:
        with transaction(self._engine) as connection:
            due = fragments.claim_due(connection, patience_seconds=self._patience_seconds)
            ended = fragments.claim_oldest(connection, excess) if excess > 0 else set()
            if not due and not ended:
                return Waiting()
            return Waiting(fragments.parts_of(connection, sorted(due | ended)), frozenset(ended))

    def count_waiting(self) -> tuple[int, float]:
        with transaction(self._engine) as connection:
            return fragments.count_parts(connection)

    def last_counted(self, keys: Iterable[bytes]) -> dict[bytes, datetime]:
        with transaction(self._engine) as connection:
            rows = driver_of(connection).execute(_LAST_COUNTED, [array_of_keys(list(keys))])
            return {bytes(key): last for key, last in rows}

    def admit(self, names: Iterable[str]) -> dict[str, str]:
        """Map each cohort name to itself, or to "other" past the cap; first come, first kept, over all workers."""
        wanted = dict.fromkeys(names)
        unknown = [name for name in wanted if name not in self._cohorts]
        if unknown and len(self._cohorts) < self._max_cohorts:
            self._cohorts = self._register(unknown)
        return {name: name if name in self._cohorts else OTHER for name in wanted}

    def forget_repeats(self, window: timedelta) -> int:
        """Drop the repeat keys that lie two windows or more behind what is being read now; return how many."""
        with transaction(self._engine) as connection:
            return connection.execute(_FORGET, {"keep_seconds": 2 * window.total_seconds()}).rowcount

    def write(self, checkpoint: Checkpoint) -> list[LabelOutcome]:
        try:
            with transaction(self._engine) as connection:
                self._advance(connection, checkpoint)
                labelled = store_labels(connection, checkpoint.labels)
                entry = self._insert(connection, checkpoint, labels=sum(outcome.is_new for outcome in labelled))
        except psycopg.errors.UniqueViolation as error:  # of `stored_trace`: no other table meets other workers' rows
            raise DuplicateTrace(str(error)) from error
        if entry.stored_on not in self._partitions and time.monotonic() >= self._partition_at:
            self._make_partition(entry.stored_on)
        return labelled

    def _make_partition(self, day: date) -> None:
        """Make the partition that nobody made ahead; its rows wait in the default one, so a refusal can wait too."""
        try:
            with transaction(self._engine) as connection, brief_locks(connection):
                made = make_partitions(connection, [day])
        except (Unavailable, DBAPIError, TableInUse) as reason:
            log.warning("partition_not_made", day=day.isoformat(), reason=str(reason).splitlines()[0])
            self._partition_at = time.monotonic() + PARTITION_RETRY_SECONDS
            return
        if made:
            log.warning("partition_made_late", day=day.isoformat())
        self._partitions.add(day)

    def _register(self, names: list[str]) -> frozenset[str]:
        insert = text(
            "insert into cohort (name) select :name where (select count(*) from cohort) < :cap on conflict do nothing"
        )
        with transaction(self._engine) as connection:
            connection.execute(text(f"select pg_advisory_xact_lock({COHORT_LOCK})"))
            for name in names:
                connection.execute(insert, {"name": name, "cap": self._max_cohorts})
            return frozenset(connection.execute(text("select name from cohort")).scalars())

    def _advance(self, connection: Connection, checkpoint: Checkpoint) -> None:
        for (topic, partition), span in sorted(checkpoint.spans.items()):
            values = {"topic": topic, "partition": partition, "start": span.start, "stop": span.stop}
            values |= {"topic_id": span.topic_id, "leader_epoch": span.leader_epoch, "bad_run": span.bad_run}
            if connection.execute(_ADVANCE, {"group_id": self._group_id, **values}).rowcount != 1:
                raise Fenced(f"{topic}[{partition}]: the stored next offset is not {span.start}")

    def _insert(self, connection: Connection, checkpoint: Checkpoint, *, labels: int) -> AppendedEntry:
        observed = checkpoint.observed
        entry = append_entry(connection, observed.entry)
        driver_of(connection).execute(_STORED_TRACES, [entry.stored_on, entry.entry_id])
        if observed.traces:
            copy_binary(connection, COPY_TRACES, list(trace_rows(checkpoint, entry)))
        scores = list(_score_rows(observed.traces))
        if scores:
            copy_rows(connection, _SCORES, scores)
        insert_selected(connection, observed.traces)
        fragments.store_parts(connection, checkpoint, patience_seconds=self._patience_seconds)
        if observed.counted_keys:
            keys = sorted(observed.counted_keys)  # one order everywhere: workers that meet do not deadlock
            times = array_of_times(micros_of([observed.counted_keys[key] for key in keys]))
            driver_of(connection).execute(_REPEAT_KEYS, [array_of_keys(keys), times])
        preferences = 0
        if checkpoint.preferences:
            preferences = connection.execute(_PREFERENCES, list(_preference_rows(checkpoint))).rowcount
        values = {
            "entry_id": entry.entry_id,
            "repeats": sum(item.repeated for item in observed.traces),
            "duplicates": checkpoint.duplicates,
            "preferences": preferences,
            "skipped": _json(dict(checkpoint.skipped)),
            "dead_letters": _json(dict(checkpoint.dead_letters)),
            "labels": labels,
        }
        connection.execute(_CHECKPOINT, values)
        return entry


def _score_rows(traces: Iterable[ObservedTrace]) -> Iterator[tuple[Any, ...]]:
    for item in traces:
        if item.reward is not None:
            reward = item.reward
            yield (
                item.trace.trace_id,
                reward.scorer_version,
                reward.mean,
                reward.lower,
                reward.disagreement,
                list(reward.members),
            )


def _preference_rows(checkpoint: Checkpoint) -> Iterator[dict[str, Any]]:
    for preference, cohort in checkpoint.preferences:
        yield {
            "preference_id": preference.preference_id,
            "timestamp": preference.timestamp,
            "messages": _json(preference.messages),
            "chosen": preference.chosen,
            "rejected": preference.rejected,
            "tie": preference.tie,
            "annotator_id": preference.annotator_id,
            "criteria_version": preference.criteria_version,
            "cohort": cohort,
            "dimensions": _json(dict(preference.dimensions)),
            "trace_id": preference.trace_id,
        }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
