"""What one replica does for all of them: a list of duties, each with a name, a period and a body."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from monitor.domain.blocker import NAMED_AFTER_SECONDS, PlacementBlocker
from monitor.domain.incident import Incident, VerdictWait
from monitor.domain.job import PlannedStart
from monitor.drift.controller import Tick
from monitor.errors import Unavailable
from monitor.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)


class Leadership(Protocol):
    """Who leads; both methods may be called in any state."""

    def acquire(self) -> bool:
        """Return whether this replica leads now; raises `Unavailable`."""
        ...

    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Duty:
    """Something the leader does again and again."""

    name: str
    period_seconds: float  # 0: at every turn
    body: Callable[[], bool | None]  # True: it has more to do at once, whatever the period


class Leader:
    """Does the duties in their order while this replica leads; one turn a call."""

    def __init__(
        self,
        leadership: Leadership,
        duties: Sequence[Duty],
        *,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leadership = leadership
        self._duties = duties
        self._metrics = metrics
        self._clock = clock
        self._due = dict.fromkeys((duty.name for duty in duties), 0.0)

    def turn(self) -> bool:
        """Do what is due; return whether a duty has more to do at once.

        Leadership is asked for before each duty: it may have been lost in the one
        before. A duty that raises ends the turn and is due again at the next one.
        """
        more = False
        for duty in self._duties:
            if not self._leads():
                return False
            if self._clock() >= self._due[duty.name]:
                has_more = bool(duty.body())
                more = more or has_more
                self._due[duty.name] = self._clock() + (0.0 if has_more else duty.period_seconds)
        return more

    def _leads(self) -> bool:
        leads = False
        try:
            leads = self._leadership.acquire()
        finally:
            self._metrics.show_leader(leads=leads)
        return leads

    def release(self) -> None:
        self._leadership.release()


@dataclass(frozen=True, slots=True)
class FoldLog:
    """Fold one step of the log, and show how far behind the fold is and where the streams stand."""

    tick: Callable[[], Tick]
    lag_traces: Callable[[], int]
    metrics: Metrics

    def __call__(self) -> bool:
        self.metrics.show_fold_lag(self.lag_traces())  # before: a fold that fails leaves it shown
        folded = self.tick()
        self.metrics.show_streams(folded.statuses)
        return folded.folded < folded.places


class Incidents(Protocol):
    def wake(self) -> None:
        """Open again what was snoozed until now, and is still there."""
        ...

    def open_incidents(self, wait: VerdictWait) -> Sequence[Incident]:
        """Return the incidents that are open, without those whose page still has to *wait*."""
        ...


@dataclass(frozen=True, slots=True)
class WatchIncidents:
    """Wake what was snoozed for long enough, and show what is open, once it waits for no verdict."""

    incidents: Incidents
    metrics: Metrics
    wait: VerdictWait

    def __call__(self) -> None:
        self.incidents.wake()
        self.metrics.show_incidents(self.incidents.open_incidents(self.wait))


@dataclass(frozen=True, slots=True)
class WatchPlacement:
    """Show for how long rows have waited for a transaction, and make the leader not ready where it is long."""

    blocker: Callable[[], PlacementBlocker | None]
    metrics: Metrics

    def __call__(self) -> None:
        found = self.blocker()
        self.metrics.show_placement_blocked(found.seconds if found is not None else 0.0)
        if found is not None and found.seconds >= NAMED_AFTER_SECONDS:
            raise Unavailable(str(found), plain=str(found))


class JobStarter(Protocol):
    def follow_calendar(self) -> None: ...

    def start_due(self) -> Sequence[PlannedStart]:
        """Start what rules and the calendar ask for now; return what became of each, in the order of the settings."""
        ...


class StartJobs:
    """Start the jobs that alarms and the calendar ask for; log what a rule comes to whenever that changes."""

    def __init__(self, jobs: JobStarter) -> None:
        self._jobs = jobs
        self._follows = False
        self._told: dict[int, str] = {}  # by the rule's number

    def __call__(self) -> None:
        if not self._follows:
            self._jobs.follow_calendar()
            self._follows = True
        for number, one in enumerate(self._jobs.start_due()):
            if self._told.get(number) != one.decision:
                log.info("rule_decided", rule=one.rule, action=one.action, decision=one.decision, detail=one.detail)
            self._told[number] = one.decision
