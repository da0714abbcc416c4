"""Connections to PostgreSQL, and what their failures mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from monitor.errors import InvalidSetting, Unavailable

# What libpq is told unless postgres.url says otherwise. A machine that loses power closes nothing: without the last
# five a query in flight waits for two hours. Idle, interval and count are the system's words for "ask after 15 s of
# silence, every 5 s, and give up after 3"; the user timeout (milliseconds) does the same for what was sent.
CONNECTION = {
    "connect_timeout": 10,
    "application_name": "rlhf-monitor",
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
# The same from the server's side: a worker that lost power, or was stopped in mid transaction, must not keep its locks.
_SERVER_SIDE = (
    "set tcp_keepalives_idle = 15; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3;"
    " set tcp_user_timeout = 30000; set idle_in_transaction_session_timeout = 30000"
)
AWAY = "PostgreSQL is away, or refuses its work"  # what everybody may know
READ_ONLY = "25006"  # a standby answers until it is promoted, or until the name points elsewhere


def create_engine_for(url: str, pool_size: int = 5) -> Engine:
    """Return an engine on psycopg; raise `InvalidSetting` for anything but a PostgreSQL URL."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidSetting("postgres.url: not a URL; wanted postgresql://user:password@host:port/database") from None
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise InvalidSetting(f"postgres.url: {parsed.get_backend_name()!r} is not supported; wanted postgresql://...")
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        hide_parameters=True,  # they hold prompts and responses, and an error is logged
        connect_args={name: value for name, value in CONNECTION.items() if name not in parsed.query},
    )
    event.listen(engine, "connect", _set_server_side)
    return engine


def _set_server_side(connection: Any, _record: object) -> None:
    connection.autocommit = True  # else the first rollback would undo it
    connection.execute(_SERVER_SIDE)
    connection.autocommit = False


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Open one transaction; a server that is away becomes `Unavailable`."""
    with named_failures(), engine.begin() as connection:
        yield connection


@contextmanager
def named_failures() -> Iterator[None]:
    """Let what waiting can mend come out as `Unavailable`, and the rest as it is."""
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable(
            "PostgreSQL: every connection of the pool is in use; postgres.pool_size sets how many",
            plain="every connection to PostgreSQL is in use",
        ) from error
    except DBAPIError as error:
        if is_unavailable(error):
            raise Unavailable(f"PostgreSQL: {str(error.orig).strip()}", plain=AWAY) from error
        raise
    except psycopg.Error as error:  # COPY speaks to the driver directly
        if _may_pass(error.sqlstate, isinstance(error, psycopg.OperationalError)):
            raise Unavailable(f"PostgreSQL: {str(error).strip()}", plain=AWAY) from error
        raise


def is_unavailable(error: DBAPIError) -> bool:
    """Say whether waiting can mend it: a lost or refused connection, a shutdown, a deadlock, a full disk."""
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    return _may_pass(getattr(error.orig, "sqlstate", None), isinstance(error, OperationalError))


def _may_pass(sqlstate: str | None, operational: bool) -> bool:
    """Say whether *sqlstate* is of a class that passes: connection, rollback, resources, operator, system."""
    if sqlstate is None:
        return operational
    return sqlstate[:2] in {"08", "40", "53", "57", "58"} or sqlstate == READ_ONLY
