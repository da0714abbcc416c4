"""Labels from files of native JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from monitor.domain.label import Label
from monitor.errors import InvalidInput, InvalidTrace
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.formats.native import decode_label
from monitor.offline.file import open_lines


def read_labels(
    paths: Iterable[Path], *, limits: DecodeLimits, now: datetime, report: Callable[[str], None]
) -> list[Label]:
    """Return every good label, in no particular order; *report* is told "FILE:LINE: reason: detail" of the others.

    Raises `InvalidInput` where a file cannot be read, and where none holds a good label.
    """
    paths, labels, bad = list(paths), list[Label](), 0
    for place, line in _lines(paths):
        decoded = decode_label(line, limits, now)
        if isinstance(decoded, InvalidTrace):
            bad += 1
            report(f"{place}: {decoded.reason}: {decoded.detail}")
        else:
            labels.append(decoded)
    if not labels:
        names = ", ".join(map(str, paths))
        raise InvalidInput(f"--labels {names}: {bad} bad lines and no good one: see docs/label.schema.json")
    return labels


def _lines(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        with open_lines(path) as lines:
            yield from (
                (f"{path}:{number}", line.strip()) for number, line in enumerate(lines, start=1) if line.strip()
            )
