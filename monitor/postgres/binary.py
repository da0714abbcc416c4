"""Values in PostgreSQL's binary format, a column or a row at once: psycopg makes a call of Python for each.

Texts are sent in UTF-8, which `create_engine_for` asks of every connection.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from struct import Struct

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
COPY_TRAILER = b"\xff\xff"
EPOCH_DAY = date(2000, 1, 1).toordinal()
EPOCH_MICROS = 946_684_800_000_000  # from 1970 to 2000
_SIZE = Struct("!i").pack
_ARRAY = Struct("!iiIii").pack  # dimensions, whether any is null, the type of the elements, their number, first index
NULL = _SIZE(-1)
_TEXT, _BYTEA, _TIMESTAMPTZ = 25, 17, 1184  # PostgreSQL's numbers of types


@dataclass(frozen=True, slots=True)
class BinaryArray:
    """An array of one dimension, as the server takes it."""

    content: bytes


class _BinaryArrayDumper(Dumper):
    format = Format.BINARY
    oid = 0  # a cast in the statement says which

    def dump(self, obj: BinaryArray) -> bytes:
        return obj.content


psycopg.adapters.register_dumper(BinaryArray, _BinaryArrayDumper)


class Texts(dict[str | None, bytes]):
    """The fields of texts that many rows share, each made once."""

    def __missing__(self, text: str | None) -> bytes:
        made = self[text] = text_field(text)
        return made


def field(content: bytes) -> bytes:
    return _SIZE(len(content)) + content


def text_field(text: str | None) -> bytes:
    if text is None:
        return NULL
    content = text.encode()
    return _SIZE(len(content)) + content


def day_number(day: date) -> int:
    """Return a date as the server counts it."""
    return day.toordinal() - EPOCH_DAY


def array_of_texts(texts: Collection[str | None]) -> BinaryArray:
    return array_of_text_fields([text_field(text) for text in texts], has_null=None in texts)


def array_of_text_fields(fields: Sequence[bytes], *, has_null: bool = False) -> BinaryArray:
    """Return an array of texts that are fields already."""
    return _array(_TEXT, len(fields), b"".join(fields), has_null=has_null)


def array_of_keys(keys: Collection[bytes]) -> BinaryArray:
    """Return an array of `bytea`; *keys* are of one length."""
    size = _SIZE(len(next(iter(keys), b"")))
    return _array(_BYTEA, len(keys), size + size.join(keys) if keys else b"")


def array_of_times(micros: NDArray[np.int64]) -> BinaryArray:
    """Return an array of `timestamptz`; *micros* count from 1970."""
    fields = np.empty(len(micros), [("size", ">i4"), ("micros", ">i8")])
    fields["size"], fields["micros"] = 8, micros - EPOCH_MICROS
    return _array(_TIMESTAMPTZ, len(micros), fields.tobytes())


def _array(oid: int, count: int, elements: bytes, *, has_null: bool = False) -> BinaryArray:
    return BinaryArray(_ARRAY(1, has_null, oid, count, 1) + elements)
