"""How often each of a user's own signals has failed in this process, and why last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What became of one signal."""

    failures: int
    last: str  # why, the last time


class Failures:
    """Counts, and names each reason once in the log; safe from any thread. *count* is told of each."""

    def __init__(self, count: Callable[[str, int], None] = lambda _signal, _count: None) -> None:
        self._count = count
        self._troubles: dict[str, Trouble] = {}
        self._named: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def add(self, signal: str, why: str, count: int = 1) -> None:
        """Note that *signal* had no value for *count* traces; *why* comes from a bounded set of words."""
        if not count:
            return
        with self._lock:
            before = self._troubles.get(signal, Trouble(0, ""))
            self._troubles[signal] = Trouble(before.failures + count, why)
            is_new = (signal, why) not in self._named
            self._named.add((signal, why))
        self._count(signal, count)
        if is_new:
            log.warning("signal_failed", signal=signal, why=why, traces=count)

    def troubles(self) -> dict[str, Trouble]:
        """Return what has failed, by signal."""
        with self._lock:
            return dict(self._troubles)
