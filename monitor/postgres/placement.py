"""Which transaction the log waits for: rows get their place below the oldest one that runs on the whole server."""

from __future__ import annotations

from datetime import UTC

import structlog
from sqlalchemy import Connection, Engine, text

from monitor.domain.blocker import NAMED_AFTER_SECONDS, PlacementBlocker
from monitor.postgres.engine import transaction

log = structlog.get_logger(__name__)
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


SILENT_SECONDS = 30.0  # as for one that is idle in a transaction, which the server ends by itself
# A process that is stopped in the middle of COPY is not idle: the server waits for its next row without end.
_END_SILENT = text(
    "with silent as materialized ("  # chosen before any is ended
    "  select pid from pg_stat_activity where datname = current_database() and usename = current_user"
    "  and application_name = current_setting('application_name') and backend_xid is not null and state = 'active'"
    "  and wait_event = 'ClientRead' and query_start < clock_timestamp() - make_interval(secs => :seconds)"
    ") select pid from silent where pg_terminate_backend(pid)"
)


class PostgresPlacement:
    """Looks for what keeps rows from their place."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def blocker(self) -> PlacementBlocker | None:
        """Return what rows have waited for, however short; None where none waits."""
        with transaction(self._engine) as connection:
            return _oldest(connection)

    def end_silent(self, *, after_seconds: float = SILENT_SECONDS) -> int:
        """End our own sessions whose COPY began so long ago and that the server waits for; return how many.

        A batch is sent in about a second. One that truly takes longer than this is sent again.
        """
        with transaction(self._engine) as connection:
            ended = connection.execute(_END_SILENT, {"seconds": after_seconds}).scalars().all()
        for process in ended:
            log.warning("silent_session_ended", process=process, seconds=after_seconds)
        return len(ended)


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
