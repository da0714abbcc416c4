"""Which traces' texts are stored: all, a sample drawn by a keyed hash of the trace's id, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from monitor.domain.review import draw
from monitor.domain.trace import Trace
from monitor.observe.gather import ObservedTrace

NOT_KEPT = "[not kept]"  # in place of an error's text: that there was one is told


@dataclass(frozen=True, slots=True)
class TextRule:
    """*ratio* of all traces keep their texts, 0 for none and 1 for all; the same trace is always decided alike."""

    ratio: float = 1.0
    key: bytes = b""  # nobody who writes traces should know it

    def stored(self, observed: Sequence[ObservedTrace]) -> tuple[ObservedTrace, ...]:
        """Return *observed* as it is stored: what was read of a text stays, the text itself where it is kept.

        A trace that people are asked to judge keeps its texts, unless none does.
        """
        if self.ratio >= 1:
            return tuple(observed)
        return tuple(
            [item if self._keeps(item) else replace(item, trace=without_texts(item.trace)) for item in observed]
        )

    def _keeps(self, item: ObservedTrace) -> bool:
        if not self.ratio:
            return False
        judged = any(selection.selected for selection in item.selections)
        return judged or draw(self.key, "text", item.trace.trace_id) < self.ratio


def without_texts(trace: Trace) -> Trace:
    error = None if trace.error is None else NOT_KEPT
    return replace(trace, messages=(), response=None, reference_response=None, error=error)
