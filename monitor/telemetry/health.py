"""Which parts of the process are ready, and the first failure that must end it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType

import structlog

READY = ""  # a part without a reason to wait for

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    part: str
    exception: BaseException


@dataclass(frozen=True, slots=True)
class _Busy:
    """What a part is doing; past `limit_seconds` it counts as stuck."""

    doing: str
    since: float  # by the health's clock
    limit_seconds: float


class Health:
    """The state of the named parts; safe from any thread.

    Every part starts not ready, "starting". The first failure is kept, makes its
    part not ready for good, and wakes whoever waits: the main thread then ends
    the process.

    A part that is about to do what may never return calls `set_busy` before:
    a thread that hangs can say nothing any more, so `ready` finds out by itself.
    *clock* is monotonic, in seconds.
    """

    def __init__(self, parts: Iterable[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._reasons = dict.fromkeys(parts, "starting")
        self._plain = dict(self._reasons)
        self._busy: dict[str, _Busy] = {}
        self._clock = clock
        self._lock = threading.Lock()
        self._failure: Failure | None = None
        self._failed = threading.Event()

    @property
    def failure(self) -> Failure | None:
        return self._failure

    def set_ready(self, part: str) -> None:
        self._set(part, READY, READY)

    def set_not_ready(self, part: str, reason: str, *, plain: str = "it waits; the log says for what") -> None:
        """Say why *part* cannot work now; *plain* is what `/readyz` tells everybody of it."""
        if not reason:
            raise ValueError(f"reason of part {part!r} is empty; wanted what it waits for")
        self._set(part, reason, plain)

    def set_busy(self, part: str, limit_seconds: float, doing: str) -> None:
        """Say what *part* does now: it stays as ready as it was for *limit_seconds*, and is not ready after.

        `set_ready`, `set_not_ready` and the next `set_busy` end it. *doing* is
        served on `/readyz`, say "storing a batch".
        """
        if not doing:
            raise ValueError(f"what part {part!r} is doing is empty; wanted words for /readyz")
        with self._lock:
            if not self._has_failed(part):
                self._busy[part] = _Busy(doing, self._clock(), limit_seconds)

    def ready(self) -> tuple[bool, dict[str, str]]:
        """Return whether all parts are ready, and the reason for each part ("" where it is ready)."""
        with self._lock:
            reasons = self._reasons | self._stuck()
        return all(reason == READY for reason in reasons.values()), reasons

    def plain_reasons(self) -> dict[str, str]:
        """Return `ready`'s reasons in words of our own, for those who may not read what a service said."""
        with self._lock:
            return self._plain | self._stuck()

    def fail(self, part: str, exception: BaseException) -> None:
        """Record a failure the process cannot survive."""
        with self._lock:
            reason = f"failed: {type(exception).__name__}"  # the message may quote a trace
            self._reasons[part] = self._plain[part] = reason
            self._busy.pop(part, None)
            first = self._failure is None
            if first:
                self._failure = Failure(part, exception)
        self._failed.set()
        if first:
            _log.error("part failed", part=part, exc_info=exception)

    def wait(self, timeout_seconds: float | None = None) -> Failure | None:
        """Block until something failed or the time is over; return the failure, if any."""
        self._failed.wait(timeout_seconds)
        return self._failure

    def guard(self, part: str) -> AbstractContextManager[None]:
        """Wrap the whole body of a thread: what escapes it is recorded as *part*'s failure."""
        return _Guard(self, part)

    def _set(self, part: str, reason: str, plain: str) -> None:
        with self._lock:
            if self._has_failed(part):
                return
            self._reasons[part] = reason
            self._plain[part] = plain
            self._busy.pop(part, None)

    def _stuck(self) -> dict[str, str]:
        now = self._clock()
        return {
            part: f"{busy.doing}: not done after {now - busy.since:.0f} s"
            for part, busy in self._busy.items()
            if now - busy.since > busy.limit_seconds
        }

    def _has_failed(self, part: str) -> bool:
        return self._failure is not None and self._failure.part == part


class _Guard(AbstractContextManager[None]):
    def __init__(self, health: Health, part: str) -> None:
        self._health = health
        self._part = part

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if exception is None:
            return False
        self._health.fail(self._part, exception)
        return True
