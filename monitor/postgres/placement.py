"""Which transaction the log waits for: rows get their place below the oldest one that runs on the whole server."""

from __future__ import annotations

from datetime import UTC

from sqlalchemy import Connection, Engine, text

from monitor.domain.blocker import NAMED_AFTER_SECONDS, PlacementBlocker
from monitor.postgres.engine import transaction

# Every role sees a session's database, user, name and transaction; when it began, only its own user and monitors see.
_OLDEST = text(
    "with oldest as (select pg_snapshot_xmin(pg_current_snapshot())::xid as xid),"
    " waiting as (select min(created_at) as since from log_entry where sequence is null"
    "   and xact >= pg_snapshot_xmin(pg_current_snapshot()) and pg_visible_in_snapshot(xact, pg_current_snapshot()))"
    " select b.*, extract(epoch from clock_timestamp() - coalesce(b.since, waiting.since))::float as seconds"
    " from waiting, lateral ("
    "   select 'transaction' as kind, datname, usename, application_name as name, pid, xact_start as since"
    "   from pg_stat_activity, oldest where backend_xid = oldest.xid"
    "   union all"
    "   select 'prepared transaction', database, owner, gid, null, prepared"
    "   from pg_prepared_xacts, oldest where transaction = oldest.xid"
    " ) b where waiting.since is not null limit 1"
)


class PostgresPlacement:
    """Looks for what keeps rows from their place."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def blocker(self) -> PlacementBlocker | None:
        """Return what rows have waited for, however short; None where none waits."""
        with transaction(self._engine) as connection:
            return _oldest(connection)


def long_blocker(connection: Connection) -> PlacementBlocker | None:
    """Return what rows wait for, where it is older than an everyday transaction."""
    found = _oldest(connection)
    return found if found is not None and found.seconds >= NAMED_AFTER_SECONDS else None


def _oldest(connection: Connection) -> PlacementBlocker | None:
    row = connection.execute(_OLDEST).one_or_none()
    if row is None:
        return None
    return PlacementBlocker(
        kind=row.kind,
        database=row.datname or "",
        user=row.usename or "",
        name=row.name or "",
        process=row.pid,
        since=row.since.astimezone(UTC) if row.since is not None else None,
        seconds=row.seconds,
    )
