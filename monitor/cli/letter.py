"""Dead letters for people at a terminal; everything in them is somebody else's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.table import Table

from monitor.cli.table import moment
from monitor.cli.terminal import cell
from monitor.errors import InvalidInput
from monitor.ingest.letter import Flaw, Letter

MAX_SHOWN_BYTES = 4_000  # of a value
AGO = re.compile(r"(\d{1,6})([mhd])")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
HELD = {
    Flaw.CUT: "hold only the head of a record that was too large",
    Flaw.WITHHELD: "hold nothing of their records (ingest.redaction)",
    Flaw.UNREADABLE: "are of records that the Kafka client could not take apart",
    Flaw.NOT_READ: "came from a topic that no setting reads",
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


def letter_row(letter: Letter) -> dict[str, Any]:
    """Return what JSON tells of *letter*, its value aside."""
    return {
        "letter": str(letter.place),
        "written_at": letter.written_at,
        "reason": letter.reason,
        "detail": letter.detail,
        "source": str(letter.source),
        "source_timestamp": None if letter.source_ms is None else datetime.fromtimestamp(letter.source_ms / 1000, UTC),
        "attempts": letter.attempts,
        "first": str(letter.first),
        "bytes": len(letter.value),
        "key": None if letter.key is None else letter.key.decode(errors="backslashreplace"),
        "cannot_be_replayed": letter.flaw,
    }


def letter_table(letters: Iterable[Letter]) -> Table:
    table = Table("letter", "written", "reason", "record", "replayed", "bytes", "detail")
    for letter in letters:
        told = str(letter.place), moment(letter.written_at), letter.reason, str(letter.source)
        table.add_row(*map(cell, (*told, str(letter.attempts or ""), str(len(letter.value)), letter.detail)))
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
