"""A change of the active baseline, worked out before the transaction that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monitor.errors import Conflict, InvalidInput


@dataclass(frozen=True, slots=True)
class BaselineExtension:
    """The active baseline's laws with a further scorer's, true only for the revision they were made from."""

    baseline_id: int
    revision: int
    content: Any  # JSON, as the baseline keeps it


@dataclass(frozen=True, slots=True)
class TraceWindow:
    """Which traces a baseline is made from: the *last* ones, or those from *first* to before *stop*."""

    last: int | None = None
    first: int | None = None  # number of a trace, from 0
    stop: int | None = None  # exclusive; None: all there are


@dataclass(frozen=True, slots=True)
class BaselineQuery:
    """Which baselines are looked for: those with a law of all that is named; of anything without names."""

    signal: str | None = None
    policy_model: str | None = None
    cohort: str | None = None

    @property
    def is_open(self) -> bool:
        return self == BaselineQuery()


def window_bounds(window: TraceWindow, traces: int) -> tuple[int, int]:
    """Return the numbers of the first trace of *window*, and of the one after it, among *traces* stored.

    Raises `InvalidInput` for what is no window, and `Conflict` for one that is not stored.
    """
    last, first, stop = window.last, window.first, window.stop
    if (last is None) == (first is None) or (last is not None and stop is not None):
        raise InvalidInput("the baseline's window: say which traces, by last, or by first and, if you like, stop")
    if first is not None and stop is not None and first >= stop:
        raise InvalidInput(f"the baseline's window: stop = {stop} wants to be above first = {first}")
    start = traces - last if last is not None else first
    end = traces if stop is None else stop
    if start is None or not 0 <= start < end <= traces:
        asked = f"the last {last} traces" if last is not None else f"traces {start} to {end}"
        raise Conflict(f"the baseline's window: {asked} are not among the {traces} stored")
    return start, end
