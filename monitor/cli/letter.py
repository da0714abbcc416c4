"""Dead letters for people at a terminal; everything in them is somebody else's."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.table import Table

from monitor.cli.table import moment
from monitor.cli.terminal import cell
from monitor.errors import InvalidInput
from monitor.ingest.letter import Flaw, Letter, LetterRow

MAX_SHOWN_BYTES = 4_000  # of a value
AGO = re.compile(r"(\d{1,6})([mhd])")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
HELD = {
    Flaw.CUT: "hold only the head of a record that was too large",
    Flaw.WITHHELD: "hold nothing of their records (ingest.redaction)",
    Flaw.UNREADABLE: "are of records that the Kafka client could not take apart",
    Flaw.NOT_READ: "came from a topic that no setting reads",
    Flaw.ERASED: "are of conversations or users that were erased",
    Flaw.REPLACED: "have a later letter of the same record in their place",
}


def time_of(text: str | None, option: str, now: datetime) -> datetime | None:
    """Parse what *option* was given: how long before *now*, or a moment, in UTC where it names no zone."""
    if text is None:
        return None
    ago = AGO.fullmatch(text)
    try:
        if ago is not None:
            return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{option} {text!r}: wanted 90m, 2h, 3d, or a moment such as 2026-11-22T14:00Z") from None


def letter_json(letter: Letter) -> dict[str, Any]:
    """Return all that JSON tells of *letter*."""
    return asdict(LetterRow.of(letter)) | {
        "key": None if letter.key is None else letter.key.decode(errors="backslashreplace"),
        "headers": [[name, value.decode(errors="backslashreplace")] for name, value in letter.headers],
        "value_base64": b64encode(letter.value).decode(),
    }


def letter_table(letters: Iterable[LetterRow]) -> Table:
    table = Table("letter", "written", "reason", "record", "replayed", "bytes", "detail")
    for row in letters:
        told = row.letter, moment(row.written_at), row.reason, row.source
        table.add_row(*map(cell, (*told, str(row.attempts or ""), str(row.bytes), row.detail)))
    return table


def letter_lines(letter: Letter) -> Iterator[str]:
    """Yield what there is to say of one letter, at most the head of its value."""
    yield f"letter {letter.place}, written {moment(letter.written_at)}"
    yield f"reason: {letter.reason}"
    yield f"detail: {letter.detail}"
    yield f"record: {letter.source}"
    if letter.attempts:
        yield f"replayed: {letter.attempts} times, first from {letter.first}"
    if letter.flaw is not None:
        yield f"cannot be replayed: {letter.flaw}"
    if letter.key is not None:
        yield f"key: {letter.key[:MAX_SHOWN_BYTES].decode(errors='backslashreplace')}"
    for name, value in letter.headers:
        yield f"header {name}: {value[:MAX_SHOWN_BYTES].decode(errors='backslashreplace')}"
    yield f"value, {len(letter.value)} bytes:"
    yield from letter.value[:MAX_SHOWN_BYTES].decode(errors="backslashreplace").split("\n")
    if len(letter.value) > MAX_SHOWN_BYTES:
        yield f"(the first {MAX_SHOWN_BYTES} bytes; --out FILE writes all of them)"
