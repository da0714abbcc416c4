"""Day partitions of `trace`: made ahead of time, and dropped when their texts are to be forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

PARTITION_LOCK = 0x524C4846_06
AHEAD_DAYS = 7
LOCK_SECONDS = 1.0  # writers wait behind whoever waits for a whole table
DEFAULT_PARTITION = "trace_default"
_TODAY = text("select (now() at time zone 'utc')::date")
_PARTITIONS = text(
    "select child.relname from pg_inherits join pg_class child on child.oid = inhrelid"
    " where inhparent = cast('trace' as regclass) order by child.relname"
)


class TableInUse(Exception):
    """Somebody holds a table that had to be locked, a backup perhaps: try again later."""


@contextmanager
def brief_locks(connection: Connection) -> Iterator[None]:
    """Let the block do all it does or nothing; raises `TableInUse` after `LOCK_SECONDS` of waiting for a lock."""
    try:
        with connection.begin_nested():
            connection.execute(text(f"set local lock_timeout = '{LOCK_SECONDS}s'"))
            yield
            connection.execute(text("set local lock_timeout = default"))
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            raise TableInUse(str(error.orig)) from error
        raise


def make_partitions_ahead(connection: Connection) -> list[date]:
    """Make the partitions of today and the next days; return the days that had none."""
    today = database_day(connection)
    return make_partitions(connection, [today + timedelta(days=ahead) for ahead in range(AHEAD_DAYS + 1)])


def make_partitions(connection: Connection, days: Iterable[date]) -> list[date]:
    """Make the partitions of *days* that are missing; return those days.

    Traces that arrived before their day's partition lie in the default partition and are moved
    into it. Only those who write to or read from the default partition are waited for.
    """
    missing = set(days) - set(partition_days(connection))
    if missing:
        connection.execute(text(f"select pg_advisory_xact_lock({PARTITION_LOCK})"))
        missing -= set(partition_days(connection))  # another process may have made them while this one waited
    if missing:
        connection.execute(text(f"lock table {DEFAULT_PARTITION} in access exclusive mode"))
    for day in sorted(missing):
        name, bounds = partition_name(day), {"day": day}
        connection.execute(text(f"create table {name} (like trace)"))
        connection.execute(
            text(
                f"with moved as (delete from {DEFAULT_PARTITION} where stored_on = :day returning *)"  # noqa: S608
                f" insert into {name} select * from moved"
            ),
            bounds,
        )
        stop = day + timedelta(days=1)
        connection.execute(text(f"alter table trace attach partition {name} for values from ('{day}') to ('{stop}')"))
    return sorted(missing)


def database_day(connection: Connection) -> date:
    """Return today by the database's clock, in UTC: the day that a trace stored now belongs to."""
    today: date = connection.execute(_TODAY).scalar_one()
    return today


def partition_days(connection: Connection) -> list[date]:
    """Return the days that have a partition, oldest first."""
    names = connection.execute(_PARTITIONS).scalars()
    return [date.fromisoformat(name.removeprefix("trace_")) for name in names if name != DEFAULT_PARTITION]


def partition_name(day: date) -> str:
    return f"trace_{day:%Y%m%d}"
