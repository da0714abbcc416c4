"""Opening files, plain and gzipped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from monitor.errors import InvalidInput

GZIP_MAGIC = b"\x1f\x8b"


def require_files(paths: Iterable[Path]) -> None:
    """Raise `InvalidInput` for the first of *paths* that is not there, before anything is written."""
    for path in paths:
        if not path.exists() or path.is_dir():
            found = "a folder" if path.is_dir() else "no such file"
            raise InvalidInput(f"{path}: {found}; name a file that is there")


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
