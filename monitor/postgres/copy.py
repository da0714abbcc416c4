"""COPY over SQLAlchemy's connections: psycopg's own way to send many rows at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from sqlalchemy import Connection

from monitor.postgres.binary import COPY_HEADER, COPY_TRAILER


def copy_rows(connection: Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Send *rows* by *statement*, a `copy ... from stdin`, inside the connection's transaction."""
    with driver_of(connection).cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def copy_binary(connection: Connection, statement: str, rows: Sequence[bytes]) -> None:
    """Send *rows*, which are in binary already, by *statement*, a `copy ... from stdin (format binary)`."""
    with driver_of(connection).cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(b"".join((COPY_HEADER, *rows, COPY_TRAILER)))


def driver_of(connection: Connection) -> psycopg.Connection[Any]:
    """Return psycopg's own connection, inside the same transaction."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver
