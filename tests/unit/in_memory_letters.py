"""Dead letters without a broker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from monitor.app.letters import NewestLetters
from monitor.ingest.letter import Letter, Place


def a_letter(offset: int, **changes: Any) -> Letter:
    source = Place("traces", 0, offset)
    usual: dict[str, Any] = {
        "place": Place("dead", 0, offset),
        "written_ms": 1_795_262_400_000 + 60_000 * offset,  # from 2026-11-21T12:00Z on
        "reason": "not_json",
        "detail": "the value is no JSON: line 1, column 2",
        "source": source,
        "source_ms": None,
        "attempts": 0,
        "first": source,
        "key": b"k",
        "value": b"what a user said",
        "headers": (),
        "flaw": None,
    }
    return Letter(**(usual | changes))


@dataclass
class LetterTopic:
    """A dead-letter topic that counts how often it is read."""

    kept: list[Letter] = field(default_factory=list)
    reads: int = 0

    def read(self) -> Iterator[Letter]:
        self.reads += 1
        yield from self.kept

    def port(self, now: list[float] | None = None) -> NewestLetters:
        return NewestLetters(self.read) if now is None else NewestLetters(self.read, clock=lambda: now[0])
