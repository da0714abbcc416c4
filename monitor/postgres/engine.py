"""Connections to PostgreSQL, and what their failures mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from monitor.errors import InvalidSetting, Unavailable
from monitor.postgres.refusal import explain

# What libpq is told unless postgres.url says otherwise. A machine that loses power closes nothing: without the last
# five a query in flight waits for two hours. Idle, interval and count are the system's words for "ask after 15 s of
# silence, every 5 s, and give up after 3"; the user timeout (milliseconds) does the same for what was sent.
CONNECTION = {
    "connect_timeout": 10,
    "application_name": "rlhf-monitor",
    "client_encoding": "utf8",  # as rows are written in binary, whatever the database's own
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
_NOT_TRIED = "connection is bad: invalid "  # a word in the URL is none that libpq knows
AWAY = "PostgreSQL is away, or refuses its work"  # what everybody may know
# What passes beside whole classes, in plain words: somebody grants the right, ends the lock, promotes the standby.
_REFUSED = {
    "25006": "the server is read-only, so it may be a standby",
    "25P03": "a transaction was left idle for too long and the server ended it (idle_in_transaction_session_timeout)",
    "42501": "the role lacks a right that it needs; grant it",
    "55P03": "a lock was not to be had within lock_timeout; somebody holds the table",
    "57014": "a statement took longer than statement_timeout, or somebody cancelled it",
}


def create_engine_for(url: str, pool_size: int = 5) -> Engine:
    """Return an engine on psycopg; raise `InvalidSetting` for anything but a PostgreSQL URL."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # whose text may quote the password
        raise InvalidSetting(
            "postgres.url: not a URL; wanted postgresql://user:password@host:port/database, where %40 stands for an @"
            " in a password"
        ) from None
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise InvalidSetting(f"postgres.url: {parsed.get_backend_name()!r} is not supported; wanted postgresql://...")
    try:
        make_conninfo(**dict.fromkeys(parsed.query, ""))
    except psycopg.ProgrammingError as error:
        raise InvalidSetting(f"postgres.url: {' '.join(str(error).split())}") from None
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        hide_parameters=True,  # they hold prompts and responses, and an error is logged
        connect_args={name: value for name, value in CONNECTION.items() if name not in parsed.query},
    )

    @event.listens_for(engine, "connect")
    def set_server_side(connection: Any, _record: object) -> None:
        connection.autocommit = True  # else the first rollback would undo it
        connection.execute(_SERVER_SIDE)
        connection.autocommit = False

    return engine


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
            raise _unavailable(error.orig) from error
        raise
    except psycopg.Error as error:  # COPY speaks to the driver directly
        if _may_pass(error.sqlstate, isinstance(error, psycopg.OperationalError)):
            raise _unavailable(error) from error
        raise


def _unavailable(error: BaseException | None) -> Unavailable | InvalidSetting:
    said = " ".join(str(error).split())
    if said.startswith(_NOT_TRIED):
        return InvalidSetting(f"postgres.url: {said.removeprefix('connection is bad: ')}")
    refused = _REFUSED.get(getattr(error, "sqlstate", None) or "")
    plain = f"PostgreSQL: {refused}" if refused is not None else explain(said)
    return Unavailable(f"{plain or 'PostgreSQL'}: {said}", plain=plain or AWAY)


def is_unavailable(error: DBAPIError) -> bool:
    """Say whether waiting can mend it: a lost connection, a shutdown, a deadlock, a full disk, a right withdrawn."""
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    return _may_pass(getattr(error.orig, "sqlstate", None), isinstance(error, OperationalError))


def _may_pass(sqlstate: str | None, operational: bool) -> bool:
    """Say whether *sqlstate* is of a class that passes: connection, rollback, resources, operator, system."""
    if sqlstate is None:
        return operational
    return sqlstate[:2] in {"08", "40", "53", "57", "58"} or sqlstate in _REFUSED
