"""Announcements on their way: one channel, one at a time, the oldest first, until each was taken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from monitor.domain.release import Announcement, Channel
from monitor.domain.telling import retry_seconds

log = structlog.get_logger(__name__)


Deliver = Callable[[Announcement], str | None]  # None: it was taken; else why not


class Queue(Protocol):
    def due(self, channel: Channel) -> tuple[Announcement, int] | None:
        """Return the oldest that *channel* has not told, with its attempts so far; None while it waits or is none."""
        ...

    def told(self, announcement_id: int, channel: Channel) -> None: ...

    def failed(self, announcement_id: int, channel: Channel, error: str, *, retry_seconds: float) -> None: ...


class Teller:
    """A leader's loop body. An attempt has a thread of its own, so a listener that is slow holds nobody up.

    What became of it is noted at a later turn. So an announcement is told again where its leader ends
    between the two: at least once, with the same id.
    """

    def __init__(self, channel: Channel, queue: Queue, deliver: Deliver) -> None:
        self._channel = channel
        self._queue = queue
        self._deliver = deliver
        self._attempt: _Attempt | None = None

    def turn(self) -> bool:
        """Note what became of the last attempt and begin the next that is due; return whether one was noted."""
        ended = self._attempt
        if ended is not None and ended.thread.is_alive():
            return False
        if ended is not None:
            self._note(ended)
            self._attempt = None
        found = self._queue.due(self._channel)
        if found is not None:
            announcement, attempts = found
            self._attempt = _Attempt(announcement, attempts + 1, self._deliver)
        return ended is not None

    def _note(self, ended: _Attempt) -> None:
        number, error = ended.announcement.announcement_id, ended.error
        told = {"channel": self._channel.value, "announcement": number, "event_told": ended.announcement.event}
        if error is None:
            self._queue.told(number, self._channel)
            log.info("announced", **told)
            return
        wait = retry_seconds(ended.attempts)
        self._queue.failed(number, self._channel, error, retry_seconds=wait)
        log.warning("not_announced", **told, attempts=ended.attempts, retry_seconds=wait, error=error)


class _Attempt:
    def __init__(self, announcement: Announcement, attempts: int, deliver: Deliver) -> None:
        self.announcement = announcement
        self.attempts = attempts
        self.error: str | None = "it did not end"
        self._deliver = deliver
        self.thread = threading.Thread(target=self._run, name="announcing", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.error = self._deliver(self.announcement)
        except Exception as error:  # noqa: BLE001 - told again, and shown: a thread has nobody to raise to
            self.error = f"{type(error).__name__}: {error}"
