"""The threads of one process: each is a part with a health, and all leave together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from random import SystemRandom

import structlog

from monitor.errors import Fenced, Unavailable
from monitor.pipeline.backoff import Backoff
from monitor.telemetry.health import Health

LOOK_SECONDS = 0.2  # how often the main thread looks at the stop
log = structlog.get_logger(__name__)


class Supervisor:
    """Runs parts in threads of their own until it is told to stop or one of them fails."""

    def __init__(self, health: Health, *, leave_seconds: float) -> None:
        self.stopping = threading.Event()  # what every part looks at
        self._health = health
        self._leave_seconds = leave_seconds

    def run(self, parts: Mapping[str, Callable[[], None]], stop: threading.Event) -> None:
        """Return after *stop* or the first failure, when every part has left or its time to leave is over."""
        threads = [self._spawn(part, body) for part, body in parts.items()]
        try:
            while not stop.is_set() and self._health.failure is None:
                self._health.wait(LOOK_SECONDS)
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join(self._leave_seconds)

    def repeat(
        self, part: str, turn: Callable[[], bool | None], *, pause_seconds: float, limit_seconds: float | None = None
    ) -> None:
        """Take turns until the stop, with a pause after each that does not return True for "more at once".

        What is unavailable is waited for; what fenced the part is begun again. A part
        whose turn lasts longer than *limit_seconds* is not ready until it ends.
        """
        backoff = Backoff(SystemRandom())
        while not self.stopping.is_set():
            try:
                if limit_seconds is not None:
                    self._health.set_busy(part, limit_seconds, "taking its turn")
                more = turn()
                self._health.set_ready(part)
                backoff.reset()
                if not more:
                    self.stopping.wait(pause_seconds)
            except (Unavailable, Fenced) as reason:
                plain = (
                    reason.plain
                    if isinstance(reason, Unavailable)
                    else "another worker took its place; it begins again"
                )
                self._health.set_not_ready(part, str(reason).splitlines()[0], plain=plain)
                log.warning("part_waits", part=part, reason=str(reason))
                self.stopping.wait(backoff.next_seconds())

    def _spawn(self, part: str, body: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            with self._health.guard(part):
                body()

        thread = threading.Thread(target=guarded, name=part, daemon=True)
        thread.start()
        return thread
