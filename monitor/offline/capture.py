"""Records from files: what was captured from Kafka, telemetry in OTLP, or payloads, told apart by what a file holds."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from monitor.errors import InvalidTrace
from monitor.ingest.decode import Reason, parts_of_json
from monitor.ingest.record import Record
from monitor.offline.file import open_lines

HEAD_BYTES = 256
LENGTH_BYTES = 4  # before each message of the Collector's file exporter


class CapturedRow(Struct, frozen=True):
    """A record of Kafka on a line; key, value and headers are in base64."""

    topic: str
    value: str | None
    key: str | None = None
    headers: list[tuple[str, str | None]] | dict[str, str | None] | None = None
    timestamp: int | None = None  # milliseconds since 1970


def read_records(path: Path, progress: Callable[[int], None]) -> Iterator[tuple[int, Record | InvalidTrace]]:
    """Yield the records of the file at *path*, each with its line; a file that is one message is one line.

    Raises `InvalidInput` where the file cannot be read; *progress* takes the bytes read since the last call.
    """
    with open_lines(path) as lines:
        head = _peek(lines)
        if _is_protobuf(head):
            whole = lines.read()
            progress(len(whole))
            yield from ((1, Record(path.name, 0, 1, None, message)) for message in _messages(whole))
            return
        for number, line in enumerate(lines, start=1):
            progress(len(line))
            text = line.strip()
            if text[:1] in (b"{", b"[") and text[-1:] in (b"{", b"[", b","):  # an object over several lines
                rest = lines.read()
                progress(len(rest))
                yield from _read_text(path, number, line + rest)
                return
            if text:
                yield number, _record(path, number, text)


def _peek(lines: BinaryIO) -> bytes:
    peek: Callable[[int], bytes] = lines.peek  # type: ignore[attr-defined]  # of a buffered or a gzipped file
    return peek(HEAD_BYTES)[:HEAD_BYTES]


def _is_protobuf(head: bytes) -> bool:
    """Say whether a file begins as OTLP's protobuf does: with its first field, or with a length and then the field."""
    length = int.from_bytes(head[:LENGTH_BYTES], "big")
    begins = head[:1] == b"\n" or (0 < length < 1 << 28 and head[LENGTH_BYTES : LENGTH_BYTES + 1] == b"\n")
    return begins and _CONTROL.search(head) is not None


def _messages(whole: bytes) -> Sequence[bytes]:
    """Return the messages of the Collector's file exporter, or *whole* as one."""
    messages, place = [], 0
    while place < len(whole):
        start = place + LENGTH_BYTES
        place = start + int.from_bytes(whole[place:start], "big")
        messages.append(whole[start:place])
    return messages if place == len(whole) else [whole]


def _read_text(path: Path, number: int, text: bytes) -> Iterator[tuple[int, Record | InvalidTrace]]:
    """Read the rest of a file: one JSON document, or lines after all."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (ValueError, RecursionError):
        lines = ((place, line.strip()) for place, line in enumerate(text.split(b"\n"), start=number))
        yield from ((place, _record(path, place, line)) for place, line in lines if line)
    else:
        yield from ((number, _record(path, number, piece or b"")) for piece in parts_of_json(text))


def _record(path: Path, number: int, text: bytes) -> Record | InvalidTrace:
    if b'"topic"' in text and b'"value"' in text:
        try:
            return _captured(_ROW.decode(text), number)
        except binascii.Error as error:
            return InvalidTrace(Reason.WRONG_TYPE, f"value: {error}; wanted base64, as in a row of a captured topic")
        except (ValueError, RecursionError):
            pass  # a payload that has these words too
    return Record(path.name, 0, number, None, text)


def _captured(row: CapturedRow, number: int) -> Record:
    given: Any = row.headers.items() if isinstance(row.headers, dict) else row.headers or ()
    headers = tuple((name, None if value is None else _bytes(value)) for name, value in given)
    timestamp = -1 if row.timestamp is None else row.timestamp
    key, value = (None if text is None else _bytes(text) for text in (row.key, row.value))
    return Record(row.topic, 0, number, key, value, headers, timestamp)


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_ROW = msgspec.json.Decoder(CapturedRow)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # JSON has them as escapes alone
