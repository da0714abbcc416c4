"""Which traces are independent enough to be observed."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from datetime import datetime, timedelta

from monitor.domain.trace import Trace


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


def forget_before(last_counted: MutableMapping[bytes, datetime], horizon: datetime) -> None:
    """Drop keys too old to matter, in place."""
    for key in [key for key, last in last_counted.items() if last < horizon]:
        del last_counted[key]
