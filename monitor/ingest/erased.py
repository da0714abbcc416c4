"""Dead letters of whoever was erased: what they held is shown to nobody, and is not replayed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

import msgspec

from monitor.ingest.letter import Flaw, Letter

Erased = Mapping[str, datetime]  # by the SHA-256 of a conversation's or a user's name: when it was erased last
MAX_DEPTH = 16  # of messages in messages, and of JSON that stands in texts of JSON
_BETWEEN_QUOTES = re.compile(rb'(?:[^"\\]|\\.)+', re.DOTALL)  # whichever of them are texts: broken JSON has odd quotes
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # of protobuf's wire format
_TEXT = msgspec.json.Decoder(str)


def hide_erased(letter: Letter, erased: Erased) -> Letter:
    """Return *letter*, without what it held if its record is from before the erasure of somebody whom it names.

    Only hashes of names are kept. So each text of the record, as a whole, is taken for a name.
    """
    if not erased:
        return letter
    came_ms = letter.written_ms if letter.source_ms is None else min(letter.written_ms, letter.source_ms)
    for name in _names(letter):
        at = erased.get(sha256(name).hexdigest())
        if at is not None and came_ms <= at.timestamp() * 1000:
            return replace(letter, detail="", key=None, value=b"", headers=(), flaw=Flaw.ERASED)
    return letter


def _names(letter: Letter) -> Iterator[bytes]:
    for part in (letter.key, *(value for _, value in letter.headers), letter.value):
        if part:
            yield part
            yield from _of_json(part, MAX_DEPTH)
    if not letter.value.lstrip().startswith((b"{", b"[", b'"')):
        yield from _of_protobuf(letter.value, MAX_DEPTH)


def _of_json(data: bytes, depth: int) -> Iterator[bytes]:
    """Yield the texts of *data*, which may be broken or cut, and those of JSON in them."""
    if not depth or b'"' not in data:
        return
    for found in _BETWEEN_QUOTES.findall(data):
        plain = found
        if b"\\" in found:
            try:
                plain = _TEXT.decode(b'"' + found + b'"').encode()
            except msgspec.MsgspecError:
                continue
        yield plain
        if plain is not found:
            yield from _of_json(plain, depth - 1)


def _of_protobuf(data: bytes, depth: int) -> Iterator[bytes]:
    """Yield the fields of *data* that may be texts, and those of messages in them, as far as it can be read."""
    at = 0
    while depth and at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _BYTES:
            length, at = _varint(data, at)
            if at + length > len(data):
                return
            field = data[at : at + length]
            yield field
            yield from _of_protobuf(field, depth - 1)
            at += length
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in {_FIXED64, _FIXED32}:
            at += 8 if kind == _FIXED64 else 4
        else:
            return


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at *at* and the place behind it, which is past the end where there is no number."""
    number = shift = 0
    while at < len(data) and shift < 64:
        number |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return number, at
    return 0, len(data) + 1
