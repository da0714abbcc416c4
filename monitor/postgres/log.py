"""The observation log in PostgreSQL: how every source appends to it, and how the leader places what was appended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from sqlalchemy import Connection, text

from monitor.domain.observation import LogEnd, LogEntry, Source
from monitor.postgres.binary import array_of_texts
from monitor.postgres.copy import copy_rows, driver_of

PLACE_LOCK = 0x524C4846_03
_ENTRY = text(
    "insert into log_entry (source, places, last_timestamp) values (:source, :places, :last_timestamp)"
    " returning entry_id, (created_at at time zone 'utc')::date as stored_on"
)
# %b sends an array in binary: writing thousands of ids as escaped text costs more than storing them.
_SUBJECTS = (
    "insert into log_subject (entry_id, subject_ids, timestamps, covariates, covariates_version)"
    " values (%s, %b::text[], %b, %b, %s)"
)
_OBSERVATIONS = (
    "copy observation_batch (entry_id, signal, policy_model, scorer_version, cohorts, cohort_codes, ordinals,"
    ' "values", inclusion) from stdin'
)
# A row that is seen although its transaction is not over by this server's count came out of a dump of another server:
# it is as old as any. All others wait until no older transaction is running.
_PLACE = text(
    "with last as ("
    "  select sequence, first_place + places as stop from log_entry where sequence is not null"
    "  order by sequence desc limit 1"
    "), placed as ("
    "  select entry_id,"
    "    coalesce((select sequence from last), 0) + row_number() over commits as sequence,"
    "    coalesce((select stop from last), 0) + sum(places) over commits - places as first_place"
    "  from log_entry where sequence is null and (xact < pg_snapshot_xmin(pg_current_snapshot())"
    "    or not pg_visible_in_snapshot(xact, pg_current_snapshot()))"
    "  window commits as (order by xact, entry_id)"
    ") update log_entry set sequence = placed.sequence, first_place = placed.first_place"
    "  from placed where log_entry.entry_id = placed.entry_id"
)
_END = text(
    "select sequence, first_place + places as places from log_entry where sequence is not null"
    " order by sequence desc limit 1"
)
_TRACES = text("select value from running_total where name = 'traces'")
_PLACED = text(  # in one statement, so that both are of one moment
    "select coalesce((select first_place + places from log_entry where sequence is not null"
    "   order by sequence desc limit 1), 0) as stop,"
    " coalesce((select value from running_total where name = 'traces'), 0) as traces"
)
_OTHERS = text(  # places that hold no trace; the clock's entries have none, and are many
    "select first_place, first_place + places as stop from log_entry where source = any(:others)"
    " and first_place < :stop and first_place + places > :place order by first_place"
)
# What entries add to the totals; `{entries}` chooses them.
TOTALS_OF = (
    "select name, label, value from log_entry e left join checkpoint c using (entry_id) cross join lateral ("
    "  values ('traces', '', e.places::bigint), ('repeats', '', c.repeats), ('duplicates', '', c.duplicates),"
    "    ('preferences', '', c.preferences), ('labels', '', c.labels),"
    "    ('last_timestamp', '', (extract(epoch from e.last_timestamp) * 1000000)::bigint)"
    "  union all select 'dead_letters', key, value::bigint from jsonb_each_text(c.dead_letters)"
    "  union all select 'skipped', key, value::bigint from jsonb_each_text(c.skipped)"
    ") as added(name, label, value) where e.source = 'traces' and value is not null and {entries}"
)
COMBINED = "case name when 'last_timestamp' then max(value) else sum(value) end"
_RAISE_TOTALS = text(
    f"insert into running_total (name, label, value) select name, label, {COMBINED}"  # noqa: S608
    f" from ({TOTALS_OF.format(entries='e.sequence > :placed')}) as added group by name, label"
    " on conflict (name, label) do update set value = case running_total.name when 'last_timestamp'"
    " then greatest(running_total.value, excluded.value) else running_total.value + excluded.value end"
)


@dataclass(frozen=True, slots=True)
class AppendedEntry:
    entry_id: int
    stored_on: date  # in UTC, by the database's clock


def append_entry(connection: Connection, entry: LogEntry) -> AppendedEntry:
    """Append *entry*, in the transaction that makes its source's own facts durable."""
    subjects = entry.subjects
    values = {"source": entry.source, "places": len(subjects), "last_timestamp": subjects.last_timestamp}
    row = connection.execute(_ENTRY, values).one()
    if len(subjects):
        timestamps = subjects.timestamps.astype("<i8").tobytes()
        covariates = subjects.covariates, subjects.covariates_version
        driver_of(connection).execute(_SUBJECTS, [row.entry_id, array_of_texts(subjects.ids), timestamps, *covariates])
    rows = (
        (
            row.entry_id,
            batch.series.signal,
            batch.series.policy_model,
            batch.series.scorer_version,
            list(batch.cohorts),
            batch.cohort_codes.astype("<i4").tobytes(),
            batch.places.astype("<i4").tobytes(),
            batch.values.astype("<f8").tobytes(),
            None if batch.inclusion is None else batch.inclusion.astype("<f8").tobytes(),
        )
        for batch in entry.observations
    )
    copy_rows(connection, _OBSERVATIONS, rows)
    return AppendedEntry(row.entry_id, row.stored_on)


def place_entries(connection: Connection) -> LogEnd:
    """Give new entries their place in commit order, once, and add them to the totals; return where the log ends.

    One caller at a time, held to the transaction's end.
    """
    connection.execute(text(f"select pg_advisory_xact_lock({PLACE_LOCK})"))
    before = log_end(connection)
    connection.execute(_PLACE)
    connection.execute(_RAISE_TOTALS, {"placed": before.next_sequence - 1})
    return log_end(connection)


def log_end(connection: Connection) -> LogEnd:
    """Return how far the log is placed."""
    end = connection.execute(_END).one_or_none()
    return LogEnd(1, 0) if end is None else LogEnd(end.sequence + 1, int(end.places))


def placed_traces(connection: Connection) -> int:
    """Return how many traces have a place."""
    return connection.execute(_TRACES).scalar_one_or_none() or 0


def trace_numbers(connection: Connection, places: Sequence[int]) -> list[int]:
    """Return for each place how many traces stand before it: the number of the trace there, counted from 0.

    Counted from the log's end, for its beginning may be forgotten.
    """
    if not places:
        return []
    placed = connection.execute(_PLACED).one()
    others = [source for source in Source if source not in {Source.TRACES, Source.CLOCK}]
    bounds = {"others": others, "place": min(places), "stop": placed.stop}
    rows = connection.execute(_OTHERS, bounds).all()
    first, stop = (np.array([row[column] for row in rows], dtype=np.int64) for column in (0, 1))
    since = np.append(np.cumsum((stop - first)[::-1])[::-1], 0)  # other places from each entry on
    at = np.asarray(places, dtype=np.int64)
    entry = np.searchsorted(stop, at, side="right")
    begun = np.maximum(at - np.append(first, at.max())[entry], 0)  # the part of an entry that lies before the place
    traces_since = placed.stop - at - (since[entry] - begun)
    return [int(number) for number in placed.traces - traces_since]
