"""What a database tells of itself to whoever checks an installation; nothing is changed."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from monitor.postgres.engine import transaction
from monitor.postgres.migrate import head, revision_of
from monitor.postgres.schema import metadata

_SERVER = text(
    "select current_setting('server_version') as version, current_setting('server_version_num')::int as number,"
    " current_setting('max_connections')::int as connections, pg_is_in_recovery() as standby,"
    " (select ssl from pg_stat_ssl where pid = pg_backend_pid()) as tls,"
    " inet_server_addr() is null or inet_server_addr() = inet_client_addr() as local"
)
_LACKING = text(
    "select c.relname || ': ' || right_name from pg_class c cross join unnest(array['SELECT', 'INSERT', 'UPDATE',"
    " 'DELETE']) as right_name where c.relname = any(:tables) and c.relkind in ('r', 'p')"
    " and pg_table_is_visible(c.oid) and not has_table_privilege(c.oid, right_name) order by 1"
)
_CREATES = text("select has_schema_privilege(current_schema(), 'CREATE')")
_OFFSETS = text("select topic, partition, next_offset from consumer_offset where group_id = :group_id")


@dataclass(frozen=True, slots=True)
class DatabaseState:
    version: str
    number: int  # 160002 for 16.2
    connections: int  # that the server takes at most
    is_standby: bool
    has_tls: bool
    is_local: bool  # on this machine, or by a socket
    revision: str | None
    wanted_revision: str
    lacking: tuple[str, ...]  # rights, as "table: RIGHT"
    may_create: bool  # partitions
    clock_ahead_seconds: float  # of this machine's, by how much
    clock_error_seconds: float  # at most, of that


def read_database(engine: Engine) -> DatabaseState:
    """Ask the server; raises `Unavailable` or `InvalidSetting` that says why it did not answer."""
    with transaction(engine) as connection:
        server = connection.execute(_SERVER).one()
        ahead, error = _clock(connection)
        lacking = connection.execute(_LACKING, {"tables": sorted(metadata.tables)}).scalars().all()
        return DatabaseState(
            version=server.version,
            number=server.number,
            connections=server.connections,
            is_standby=server.standby,
            has_tls=bool(server.tls),
            is_local=server.local,
            revision=revision_of(connection),
            wanted_revision=head(),
            lacking=tuple(lacking),
            may_create=connection.execute(_CREATES).scalar_one(),
            clock_ahead_seconds=ahead,
            clock_error_seconds=error,
        )


def read_offsets(engine: Engine, group_id: str) -> dict[tuple[str, int], int]:
    """Return where the monitor reads on, by topic and partition."""
    with transaction(engine) as connection:
        rows = connection.execute(_OFFSETS, {"group_id": group_id})
        return {(row.topic, row.partition): row.next_offset for row in rows}


def _clock(connection: Connection) -> tuple[float, float]:
    before = time.time()
    told = connection.execute(text("select extract(epoch from clock_timestamp())::float8")).scalar_one()
    after = time.time()
    return (before + after) / 2 - told, (after - before) / 2
