"""COPY over SQLAlchemy's connections: psycopg's own way to send many rows at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from sqlalchemy import Connection


def copy_rows(connection: Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Send *rows* by *statement*, a `copy ... from stdin`, inside the connection's transaction."""
    with driver_of(connection).cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def driver_of(connection: Connection) -> psycopg.Connection[Any]:
    """Return psycopg's own connection, inside the same transaction."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver
