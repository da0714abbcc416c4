"""Which traces are independent enough to be observed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from monitor.domain.trace import Trace

MAX_REMEMBERED = 1_000_000  # keys held in memory before those past the window are dropped


class RepeatMemory(Protocol):
    """When each repeat key was last counted."""

    def last_counted(self, keys: Iterable[bytes]) -> Mapping[bytes, datetime]:
        """Return when each known key was last counted."""
        ...


class InMemoryRepeats:
    """The memory of one pass over files."""

    def __init__(self, window: timedelta) -> None:
        self._window = window
        self._last: dict[bytes, datetime] = {}
        self._latest = datetime.min.replace(tzinfo=UTC)

    def last_counted(self, keys: Iterable[bytes]) -> Mapping[bytes, datetime]:
        return {key: self._last[key] for key in keys if key in self._last}

    def remember(self, counted: Mapping[bytes, datetime]) -> None:
        self._last |= counted
        self._latest = max(self._latest, *counted.values()) if counted else self._latest
        if len(self._last) > MAX_REMEMBERED:
            horizon = self._latest - 2 * self._window
            self._last = {key: last for key, last in self._last.items() if last >= horizon}


def mark_repeats(
    traces: Sequence[Trace],
    last_counted: MutableMapping[bytes, datetime],
    window: timedelta,
    *,
    keys: Sequence[tuple[bytes, ...]] | None = None,
) -> list[bool]:
    """Say per trace whether one with the same conversation or prompt was counted within *window*.

    The window is measured in the traces' own timestamps, so a replay marks the same traces.
    Counted traces are written into *last_counted*; repeats are not, so a conversation is
    observed again once the window has passed since its last counted trace. *keys* are the
    traces' own, for a caller that has them already.
    """
    repeated = []
    for trace, own in zip(traces, keys or [trace.repeat_keys() for trace in traces], strict=True):
        seen = [last_counted.get(key) for key in own]
        repeat = any(last is not None and abs(trace.timestamp - last) < window for last in seen)
        repeated.append(repeat)
        if not repeat:
            last_counted.update(dict.fromkeys(own, trace.timestamp))
    return repeated
