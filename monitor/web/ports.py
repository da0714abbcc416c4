"""What the web package needs of the rest: reads and writes, no more than its routes use.

The methods are called from a pool of threads, so they must be safe to run at
once. Each may raise `Unavailable`; the client is told to come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.domain.alarm import AlarmState, StoredAlarm
from monitor.domain.job import Action, Job
from monitor.domain.order import Actor, JobOrder
from monitor.domain.stream import StreamStatus
from monitor.domain.view import BaselineSummary, JobDetail, Overview
from monitor.runs.model import Models


class Views(Protocol):
    def overview(self) -> Overview: ...

    def streams(self) -> Sequence[StreamStatus]:
        """Return the streams of the active baseline, in any order."""
        ...

    def alarms(self, *, state: AlarmState | None, limit: int) -> Sequence[StoredAlarm]:
        """Return the newest alarms first, those in *state* where one is given."""
        ...

    def alarm(self, alarm_id: int) -> StoredAlarm | None: ...

    def jobs(self, *, limit: int) -> Sequence[Job]:
        """Return the newest jobs first."""
        ...

    def job(self, job_id: int) -> JobDetail | None: ...

    def models(self) -> Models: ...

    def baseline(self) -> BaselineSummary | None:
        """Return the active baseline, if one is frozen."""
        ...


class Commands(Protocol):
    """Changes; each writes its row of the audit table in the same transaction.

    All raise `NotFound` for a number nobody has, and `Conflict` where the state
    of the thing does not allow the change.
    """

    def acknowledge(self, alarm_id: int, *, actor: Actor) -> StoredAlarm: ...

    def start_job(self, action: Action, reason: str, *, actor: Actor) -> Job:
        """Queue a job by hand; `Conflict` while another job of the action is live."""
        ...

    def move_job(self, job_id: int, order: JobOrder, *, actor: Actor) -> Job:
        """Carry out *order* as `domain.order.ORDERS` has it."""
        ...
