"""Notices on their way: each receiver by itself, one at a time, until it was taken or refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from monitor.domain.telling import retry_seconds
from monitor.notify.compose import Composer
from monitor.notify.decide import Rules, Say, plan
from monitor.notify.failing import plan_others
from monitor.notify.notice import Deliver, Failed, Find, Notice, Row, Snapshot, Taken

LEASE_MARGIN_SECONDS = 30.0  # past an attempt's own time, in which another leader leaves it alone
log = structlog.get_logger(__name__)


class Store(Protocol):
    """What receivers have been told. A word about a notice that another has followed changes nothing."""

    def read(self, receivers: Sequence[str]) -> Snapshot: ...

    def begin(self, row: Row, notice: Notice, joined: Sequence[int], *, lease_seconds: float) -> Notice:
        """Take down that *notice* is on its way, and return it as it is kept; *joined* are told of by it alone."""
        ...

    def taken(self, receiver: str, notice: Notice, handle: str | None) -> None: ...

    def failed(self, receiver: str, notice: Notice, error: str, *, retry_seconds: float, refused: bool) -> None: ...

    def pass_over(self, row: Row, notice: Notice) -> None:
        """Take *notice* down as told without a message."""
        ...


@dataclass(frozen=True, slots=True)
class Receiver:
    name: str
    kind: str
    rules: Rules
    deliver: Deliver
    timeout_seconds: float
    find: Find | None = None  # of one that knows no key by which a message that comes twice is one


class Teller:
    """Tells one receiver; an attempt has a thread of its own, so a receiver that is slow holds nobody up.

    A notice is stored before it is sent, and what became of it afterwards. So it is sent again where its
    leader ends between the two: at least once, with the same bytes and key.
    """

    def __init__(
        self,
        receiver: Receiver,
        store: Store,
        composer: Composer,
        count: Callable[[str, str], None],
        *,
        others: Collection[str] = (),
    ) -> None:
        self.receiver = receiver
        self._others = others  # receivers whose failing it tells
        self._store = store
        self._composer = composer
        self._count = count
        self._attempt: _Attempt | None = None
        self._failures = 0  # in a row
        self._hold_until: datetime | None = None  # after a failure nothing is tried, whatever it is about
        self._refused: set[tuple[str, int]] = set()  # once by each process: a setting may have been mended

    def turn(self, snapshot: Snapshot) -> bool:
        """Note what became of the last attempt and begin the next that is due; return whether one was noted."""
        ended = self._attempt
        if ended is not None and ended.thread.is_alive():
            return False
        if ended is not None:
            self._note(ended, snapshot.now)
            self._attempt = None  # not before: where the note fails it is made at the next turn
            return True  # the next one is decided by what is stored then
        if self._hold_until is not None and snapshot.now < self._hold_until:
            return False
        name = self.receiver.name
        for say in (*plan(snapshot, name, self.receiver.rules), *plan_others(snapshot, name, self._others)):
            if self._is_due(say, snapshot.now):
                self._begin(say, snapshot.now)
                break
        return False

    def _is_due(self, say: Say, now: datetime) -> bool:
        if say.again and say.row.refused and (say.row.subject, say.row.sequence) in self._refused:
            return say.silent
        return say.row.retry_at is None or say.row.retry_at <= now or (say.again and say.row.refused)

    def _begin(self, say: Say, now: datetime) -> None:
        pending = say.row.pending
        notice = pending if say.again and pending is not None else self._composer.notice(say, now)
        if say.silent:
            self._store.pass_over(say.row, notice)
            return
        joined = () if say.again else say.subject.joined
        lease = self.receiver.timeout_seconds + LEASE_MARGIN_SECONDS
        kept = self._store.begin(say.row, notice, joined, lease_seconds=lease)
        attempts = say.row.attempts + 1 if say.again else 1
        self._attempt = _Attempt(kept, attempts, say.row.handle, self.receiver)

    def _note(self, ended: _Attempt, now: datetime) -> None:
        name, notice, result = self.receiver.name, ended.notice, ended.result
        told = {"receiver": name, "subject": notice.subject, "told": notice.event.value, "key": notice.idempotency_key}
        if isinstance(result, Taken):
            self._store.taken(name, notice, result.handle)
            self._failures, self._hold_until = 0, None
            self._count(name, "sent")
            log.info("notified", **told)
            return
        failures = self._failures + 1
        wait = max(result.after_seconds or 0.0, retry_seconds(max(ended.attempts, failures)))
        self._store.failed(name, notice, result.error, retry_seconds=wait, refused=not result.again)
        self._failures = failures
        if result.again:
            self._hold_until = now + timedelta(seconds=wait)
        else:
            self._refused.add((notice.subject, notice.sequence))
        self._count(name, "failed" if result.again else "refused")
        log.warning("not_notified", **told, attempts=ended.attempts, again=result.again, error=result.error)


class _Attempt:
    def __init__(self, notice: Notice, attempts: int, handle: str | None, receiver: Receiver) -> None:
        self.notice = notice
        self.attempts = attempts
        self.result: Taken | Failed = Failed("it did not end", again=True)
        self._handle = handle
        self._receiver = receiver
        self.thread = threading.Thread(target=self._run, name="notifying", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            find = self._receiver.find if self.attempts > 1 else None
            found = None if find is None else find(self.notice, self._handle)
            self.result = found or self._receiver.deliver(self.notice, self._handle)
        except Exception as error:  # noqa: BLE001 - told again, and shown: a thread has nobody to raise to
            self.result = Failed(f"{type(error).__name__}", again=True)  # its text may hold a secret


def waiting_of(snapshot: Snapshot, receiver: str) -> tuple[int, float]:
    """Return how many notices *receiver* has not taken, and for how many seconds the oldest has been tried."""
    since = [row.pending_since for row in snapshot.rows if row.receiver == receiver and row.pending_since is not None]
    return len(since), max((snapshot.now - min(since)).total_seconds(), 0.0) if since else 0.0
