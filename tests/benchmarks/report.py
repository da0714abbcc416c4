"""How benchmarks say what they found: a table on standard output, a file of JSON, and the machine beside it."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def options(description: str) -> argparse.ArgumentParser:
    """Return a parser that knows `--json FILE`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report as JSON")
    return parser


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay *rows* out in columns; text to the left, everything else to the right."""
    cells = [list(row) for row in rows]
    shown = [[_cell(value) for value in row] for row in cells]
    widths = [max(map(len, column)) for column in zip(headers, *shown, strict=True)]
    left = [all(isinstance(row[number], str) for row in cells) for number in range(len(headers))]
    lines = [_line(headers, widths, left), _line(["-" * width for width in widths], widths, left)]
    return "\n".join([*lines, *(_line(row, widths, left) for row in shown)])


def machine() -> str:
    """Name what the timings were taken on, and how busy it was with other work meanwhile."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; load average {load}"
        " over 1, 5 and 15 minutes: above the number of cores, others had their share of the time"
    )


def write_json(path: Path | None, report: Mapping[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _line(cells: Sequence[str], widths: Sequence[int], left: Sequence[bool]) -> str:
    padded = [
        cell.ljust(width) if first else cell.rjust(width)
        for cell, width, first in zip(cells, widths, left, strict=True)
    ]
    return "  ".join(padded).rstrip()
