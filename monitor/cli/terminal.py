"""What people read at a terminal: the only file that prints, so text from outside is escaped in one place."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.domain.text import for_terminal
from monitor.errors import InvalidInput

MAX_NUMBER = 2**63 - 1  # of an alarm, an incident or a job
MAX_CELL_CHARACTERS = 200
PIPED_COLUMNS = 10_000  # of a table that goes to a file or to another program: a row is a line


def say(line: str) -> None:
    """Print one line."""
    print(for_terminal(line))


def complain(message: str) -> None:
    """Print a message on stderr; the line ends are its own, and text in it from outside is quoted."""
    for line in message.split("\n"):
        print(for_terminal(line), file=sys.stderr, flush=True)


def cell(text: str) -> Text:
    """Return *text* as rich shows it as it is: markup in it stays text."""
    return Text(for_terminal(text, limit=MAX_CELL_CHARACTERS))


def show_table(table: Table, *, to_stderr: bool = False) -> None:
    """Print *table*, whose cells were made by `cell`; for another program without lines, colours and line breaks."""
    console = Console(stderr=to_stderr)
    if console.is_terminal:
        console.print(table)
        return
    table.box = None
    table.pad_edge = False
    plainly = Console(width=PIPED_COLUMNS, file=StringIO(), no_color=True, color_system=None)
    plainly.print(table)
    for line in plainly.file.getvalue().splitlines():  # type: ignore[attr-defined]
        print(line.rstrip(), file=sys.stderr if to_stderr else sys.stdout)


def show_json(value: Any) -> None:
    """Print *value* as indented JSON in ASCII; what JSON has no form for is shown as text."""
    print(json.dumps(value, indent=2, default=plain).replace("\x7f", "\\u007f"))


def hand_out(data: bytes) -> None:
    """Write *data* as it is, to a file or another program; at a terminal it could do anything."""
    if sys.stdout.isatty():
        raise InvalidInput("--raw writes bytes as they are, which a terminal may obey: give --out FILE, or a pipe")
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def plain(value: Any) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
