"""Files of other tools, one a file: what is written for it, and what is read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from monitor.review.exchange import Exported, Read
from monitor.review.formats import argilla, label_studio, lines


@dataclass(frozen=True, slots=True)
class FileFormat:
    """Both sides of one tool; reading raises `InvalidInput` for a file of another kind."""

    write: Callable[[Iterable[Exported]], Iterator[bytes]]
    read: Callable[[bytes], Read]


FORMATS = {
    "label-studio": FileFormat(label_studio.write, label_studio.read),
    "argilla": FileFormat(argilla.write, argilla.read),
    "jsonl": FileFormat(lines.write, lines.read),
}
