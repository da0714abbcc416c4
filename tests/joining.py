"""Joining batch by batch, with a store in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from monitor.domain.trace import Trace
from monitor.ingest.join import Joined, JoinRules, join, names_of
from monitor.ingest.join_call import Held
from monitor.ingest.part import Part
from monitor.ingest.record import Position
from tests.parts import HERE, LIMITS, NOW

RULES = JoinRules(LIMITS)


@dataclass
class Replay:
    """Joins batch by batch, as a worker does whose database is this object."""

    rules: JoinRules = RULES
    traces: dict[str, Trace] = field(default_factory=dict)
    aliases: set[str] = field(default_factory=set)
    waiting: dict[int, Held] = field(default_factory=dict)
    rows: int = 0

    def take(self, batch: Iterable[Held]) -> Joined:
        """Join *batch* with what waits of its requests."""
        batch = list(batch)
        requests = {item.part.trace for item in batch}
        return self._join([*(item for item in self.waiting.values() if item.part.trace in requests), *batch])

    def take_parts(self, *parts: Part, position: Position = HERE) -> Joined:
        """Join the parts of one record."""
        return self.take([Held(part, position) for part in parts])

    def look(self, *, seconds: float) -> Joined:
        """Look at all that waits, *seconds* after it was looked at last."""
        for number, item in self.waiting.items():
            self.waiting[number] = replace(item, age_seconds=item.age_seconds + seconds)
        return self._join(list(self.waiting.values()))

    def end(self) -> Joined:
        """Let nothing wait any longer."""
        return self._join(list(self.waiting.values()), ended={item.part.trace for item in self.waiting.values()})

    def _join(self, held: list[Held], ended: set[str] = frozenset()) -> Joined:  # type: ignore[assignment]
        known = names_of(held) & {*self.traces, *self.aliases}
        joined = join(held, self.rules, known=known, now=NOW, ended=ended)
        for trace, _ in joined.traces:
            assert trace.trace_id not in self.traces
            self.traces[trace.trace_id] = trace
        self.aliases.update(name for name, _ in joined.aliases)
        for number in joined.done:
            del self.waiting[number]
        for item in joined.waits:
            self.rows += 1
            self.waiting[self.rows] = replace(item, fragment_id=self.rows)
        return joined
