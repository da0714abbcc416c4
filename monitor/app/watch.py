"""The leader's watch over what does not come: reads who sent, and raises and ends the alarms about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import structlog

from monitor.drift.arrivals import Arrivals, Outcome, RaisedBefore, Senders
from monitor.drift.stored import ActiveBaseline, Filing
from monitor.drift.versions import Unfollowed
from monitor.drift.watch import Look, WatchRules, followed_by, settle
from monitor.telemetry.metrics import Metrics

PAGE_ENTRIES = 1000
FIRST_ENTRIES = 10_000  # of an older log, from which the first rhythms are learnt
SAVE_SECONDS = 60.0
FORGOTTEN_SECONDS = 30.0  # after which another leader may have been at work
log = structlog.get_logger(__name__)


class ArrivalStore(Protocol):
    """What the watch reads and keeps. Every method raises `Unavailable` where the store is away."""

    def stored(self) -> bytes | None: ...

    def next_sequence(self) -> int: ...

    def arrivals(self, sequence: int, *, limit: int) -> list[Arrivals]: ...

    def now(self) -> datetime: ...

    def offsets(self) -> dict[str, int]: ...

    def raised(self) -> RaisedBefore: ...

    def save(self, content: bytes, outcome: Outcome | None = None) -> None: ...


class WatchArrivals:
    """Read what is new in the log; where all is read, raise and end alarms.

    What comes is told from what this process reads: while no broker answers (*reads* is false), and before it
    took the lead, nobody may have read, and no silence counts.
    """

    def __init__(
        self,
        store: ArrivalStore,
        rules: WatchRules,
        *,
        active: Callable[[ActiveBaseline | None], ActiveBaseline | None],
        filing: Filing,
        reads: Callable[[], bool],
        waiting: Callable[[], int | None],
        metrics: Metrics,
        unfollowed: Callable[[], Unfollowed] = Unfollowed,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._rules = rules
        self._active = active
        self._unfollowed = unfollowed
        self._filing = filing
        self._reads = reads
        self._waiting = waiting
        self._metrics = metrics
        self._clock = clock
        self._known: ActiveBaseline | None = None
        self._senders: Senders | None = None
        self._watches = False  # all that was written before it took the lead is read
        self._called = self._saved = clock()

    def __call__(self) -> bool:
        """Read a page; return whether there is more. What fails is begun again from what is stored."""
        if self._clock() - self._called > FORGOTTEN_SECONDS:
            self._senders = None
        senders, self._senders = self._senders or self._take_up(), None
        end, start = self._store.next_sequence(), senders.next_sequence
        for entry in self._store.arrivals(start, limit=PAGE_ENTRIES):
            senders.add(entry, unread_after_seconds=self._rules.unread_after_seconds)
        senders.next_sequence = max(senders.next_sequence, min(start + PAGE_ENTRIES, end))
        more = senders.next_sequence < end
        if not more:
            self._look(senders)
        self._senders, self._called = senders, self._clock()
        return more

    def _take_up(self) -> Senders:
        self._watches = False
        content = self._store.stored()
        if content is not None:
            return Senders.of_bytes(content)
        first = max(self._store.next_sequence() - FIRST_ENTRIES, 1)
        entries = self._store.arrivals(first, limit=1)
        senders = Senders(entries[0].at if entries else self._store.now())
        senders.next_sequence = first
        return senders

    def _look(self, senders: Senders) -> None:
        now = self._store.now().timestamp()
        senders.pass_time(now)
        if not self._watches or not self._reads():
            senders.begin_quiet(now)
            self._watches = True
        senders.look_at(self._store.offsets())
        self._known = self._active(self._known)
        followed = None if self._known is None else followed_by(self._known, self._unfollowed())
        baseline_id = None if followed is None else followed.baseline_id
        senders.count_under(baseline_id)
        look = Look(senders, self._rules, waiting=self._waiting() or 0)
        alarms, recoveries = settle(
            look.findings(followed),
            senders,
            before=self._store.raised(),
            followed=followed,
            signals=self._rules.signals,
        )
        outcome = Outcome(alarms, recoveries, baseline_id, self._filing) if alarms or recoveries else None
        if outcome is not None or self._clock() - self._saved >= SAVE_SECONDS:
            self._store.save(senders.to_bytes(), outcome)
            self._saved = self._clock()
        self._metrics.show_silence(look.log_silence)
        for alarm in alarms:
            log.warning("alarm", kind=alarm.kind, severity=alarm.severity, detail=alarm.detail)
        for recovery in recoveries:
            log.info("alarm_recovered", kind=recovery.kind, place=recovery.place)
