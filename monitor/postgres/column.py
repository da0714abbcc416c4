"""Kinds of columns that the tables share."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, func
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType


class TransactionId(UserDefinedType[str]):
    """PostgreSQL's `xid8`: the 64-bit number of the transaction that wrote the row."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


ischema_names["xid8"] = TransactionId  # so that a migrated column is recognised when schemas are compared


def timestamp(name: str, *, nullable: bool = False, default_now: bool = False) -> Column[object]:
    """Return a moment with its zone; *default_now* takes the database's time where none is given."""
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if default_now else None)
