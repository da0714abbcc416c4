"""Joining the parts of calls that files hold: they wait in memory, to the end of the last file."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from monitor.ingest.join import Joined, JoinRules, join, names_of
from monitor.ingest.join_call import Held
from monitor.ingest.part import Part
from monitor.ingest.record import Position

MAX_PARTS = 200_000


class MemoryJoin:
    """Holds parts until `flush`; beyond *max_parts* the oldest requests are taken as they are."""

    def __init__(self, rules: JoinRules, now: datetime, *, max_parts: int = MAX_PARTS) -> None:
        self._rules = replace(rules, patience_seconds=0.0)
        self._now = now
        self._max_parts = max_parts
        self._requests: dict[str, list[Held]] = {}  # oldest first
        self._count = 0
        self._known: set[str] = set()

    def add(self, part: Part, position: Position) -> Joined | None:
        """Take *part*, which stands at *position*: file, 0, line; return what was ended to make room."""
        self._requests.setdefault(part.trace, []).append(Held(part, position))
        self._count += 1
        return self._end(self._max_parts // 2) if self._count > self._max_parts else None

    def flush(self) -> Joined:
        """Return what becomes of everything that is held; `waits` and `done` are empty."""
        return self._end(0)

    def _end(self, left: int) -> Joined:
        """End the oldest requests until *left* parts or fewer are held."""
        held: list[Held] = []
        while self._requests and self._count > left:
            ended = self._requests.pop(next(iter(self._requests)))
            self._count -= len(ended)
            held += ended
        joined = join(held, self._rules, known=self._known, now=self._now)
        self._known |= names_of(held) & {trace.trace_id for trace, _ in joined.traces}
        self._known |= {name for name, _ in joined.aliases}
        return joined
