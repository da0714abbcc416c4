"""Traces from files of native JSON lines."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from tokenizers import Tokenizer

from monitor.domain.trace import Trace
from monitor.errors import InvalidInput, InvalidTrace
from monitor.ingest.decode import DecodeLimits, count_output_tokens
from monitor.ingest.formats.native import decode_trace

GZIP_MAGIC = b"\x1f\x8b"


@dataclass(slots=True)
class FileReader:
    """Reads good traces in order; bad lines and duplicates are reported and counted.

    A trace id seen before is a duplicate: as in the daemon, the first one counts.
    """

    limits: DecodeLimits
    now: datetime
    report: Callable[[str], None]  # takes "FILE:LINE: reason: detail"
    tokenizer: Tokenizer | None = None
    progress: Callable[[int], None] = lambda _bytes: None  # takes the bytes read since the last call
    good: int = 0
    bad: int = 0
    duplicates: int = 0
    _seen: set[str] = field(default_factory=set)

    def read(self, paths: Iterable[Path]) -> Iterator[Trace]:
        for path in paths:
            with open_lines(path) as lines:
                for number, line in enumerate(lines, start=1):
                    self.progress(len(line))
                    yield from self._trace(f"{path}:{number}", line.strip())

    def _trace(self, place: str, line: bytes) -> Iterator[Trace]:
        if not line:
            return
        decoded = decode_trace(line, self.limits, self.now)
        if isinstance(decoded, InvalidTrace):
            self.bad += 1
            self.report(f"{place}: {decoded.reason}: {decoded.detail}")
        elif decoded.trace_id in self._seen:
            self.duplicates += 1
            self.report(f"{place}: duplicate: trace_id {decoded.trace_id[:80]!r} stands above; the first one counts")
        else:
            self._seen.add(decoded.trace_id)
            self.good += 1
            yield count_output_tokens(decoded, self.tokenizer)


def require_files(paths: Iterable[Path]) -> None:
    """Raise `InvalidInput` for the first of *paths* that is not there, before anything is written."""
    for path in paths:
        if not path.exists() or path.is_dir():
            found = "a folder" if path.is_dir() else "no such file"
            raise InvalidInput(f"{path}: {found}; name a file with one JSON object a line")


@contextmanager
def open_lines(path: Path) -> Iterator[BinaryIO]:
    """Open a plain or gzipped file or pipe, told apart by content; one that breaks off is `InvalidInput`."""
    try:
        with path.open("rb") as raw:
            if raw.peek(2)[:2] != GZIP_MAGIC:
                yield raw
                return
            with gzip.open(raw) as unpacked:
                yield unpacked  # type: ignore[misc]
    except BrokenPipeError:  # whoever reads our own output has left
        raise
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"{path}: cannot be read: {reason}") from None
