"""A unit of work: one transaction, seen through narrow repositories that store and decide nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from monitor.domain.baseline import BaselineExtension
from monitor.domain.job import TRANSITIONS, Action, JobState, Launch, RunProgress
from monitor.domain.release import Bake, BakeState
from monitor.domain.view import JobEvent
from monitor.errors import Conflict, NotFound
from monitor.retraining.records import (
    AlarmFact,
    Author,
    JobChange,
    JobFact,
    JobRecord,
    JobStep,
    Lease,
    Pointer,
    Registration,
    Report,
    RunHandle,
)
from monitor.runs.artifact import Artifact, HashedFile


class Jobs(Protocol):
    def locked(self, job_id: int) -> JobRecord | None:
        """Return the job, which nobody else changes until the transaction ends; waits for who does now."""
        ...

    def locked_if_free(self, job_id: int) -> JobRecord | None:
        """Return the job, locked; None as well where another transaction is changing it."""
        ...

    def get(self, job_id: int) -> JobRecord | None: ...

    def in_states(self, states: Collection[JobState]) -> Sequence[JobRecord]:
        """Return the jobs in *states*, the oldest first."""
        ...

    def with_run(self, states: Collection[JobState]) -> Sequence[JobRecord]:
        """Return the jobs in *states* whose run may be alive."""
        ...

    def by_number(self, job_ids: Collection[int]) -> Mapping[int, JobRecord]: ...

    def newest(
        self, limit: int, before: int | None = None, *, state: JobState | None = None, action: Action | None = None
    ) -> Sequence[JobRecord]: ...

    def events(self, job_id: int) -> Sequence[JobEvent]:
        """Return what happened to a job, the oldest first."""
        ...

    def insert(self, launch: Launch, state: JobState, *, reason: str, requested_by: str) -> JobRecord | None:
        """Add a job; None where one of its action is live."""
        ...

    def update(self, job_id: int, state: JobState, change: JobChange) -> JobRecord: ...

    def beat(self, lease: Lease, *, seconds: float, progress: str | None, detail: RunProgress | None) -> bool:
        """Put off the end of a lease that is still held; say whether it is."""
        ...

    def forget_run(self, job_id: int, handle: RunHandle) -> None:
        """Take a handle off its job, unless the job has another by now."""
        ...

    def add_event(self, job_id: int, state: JobState, *, by: Author, note: str) -> None: ...

    def keep_report(self, job_id: int, report: Report) -> None:
        """Keep the page of a job's verdict, in the place of an earlier one."""
        ...

    def report(self, job_id: int) -> Report | None: ...

    def facts(self, action: Action) -> Sequence[JobFact]:
        """Return the latest jobs of *action*, the newest first."""
        ...

    def steps_since(self, time: datetime) -> Sequence[JobStep]:
        """Return in order all steps of the jobs that took one since, or run."""
        ...

    def calendar_since(self, action: Action, cron: str) -> datetime | None:
        """Return when a line of the calendar was first followed, None where it was not yet."""
        ...

    def follow_calendar(self, action: Action, cron: str) -> None:
        """Note that a line of the calendar is followed from now on, unless it is already."""
        ...


class Registry(Protocol):
    def hold(self) -> None:
        """Let nobody else move a pointer until this transaction ends."""
        ...

    def pointer(self, role: str) -> Pointer | None: ...

    def champion(self, role: str) -> Artifact | None: ...

    def artifact(self, version: str) -> Artifact | None: ...

    def register(self, model: Registration) -> bool:
        """Add a model, or note where the same bytes lie now; False where its version has other bytes or role."""
        ...

    def served_as(self, version: str) -> str | None:
        """Return what a policy is known by in traces; None for one that was never promoted."""
        ...

    def serve_as(self, version: str, name: str) -> None: ...

    def keep_card(self, version: str, card: str) -> None: ...

    def point(self, role: str, pointer: Pointer, *, by: Author) -> None: ...

    def pairs_taken_at(self, role: str) -> datetime | None:
        """Return when the champion's training pairs were taken: its run was leased, or it was registered."""
        ...

    def candidates(self, role: str) -> Sequence[str]:
        """Return the versions of *role* that jobs registered, the newest first."""
        ...

    def remove(self, version: str) -> None: ...


class Baselines(Protocol):
    def extend(self, extension: BaselineExtension | None) -> bool:
        """Store the extension; False where the active baseline is not the revision it was made from.

        None stands for there being no baseline, and is held against the same.
        """
        ...


class Alarms(Protocol):
    def facts(self) -> tuple[AlarmFact, ...]:
        """Return the drifts that have not ended."""
        ...

    def hand_over(self, former: str, successor: str, *, role: str) -> None:
        """Supersede what is live in the streams of the *former* scorer, or policy model, which serves no more.

        What goes on in the streams of *successor* is live again: a roll-back brings its observations back.
        """
        ...


class Bakes(Protocol):
    def begin(self, job_id: int, *, role: str, version: str, observed_as: str, former: str | None, traces: int) -> None:
        """Open a promoted job's bake window, at the log's end."""
        ...

    def of_job(self, job_id: int) -> Bake | None:
        """Return a job's bake, which nobody else changes until the transaction ends."""
        ...

    def end(self, job_id: int, state: BakeState, *, reason: str, alarm_id: int | None = None) -> None: ...

    def end_others(self, role: str, job_id: int) -> None:
        """End the open bakes of *role* that *job_id* takes the place of."""
        ...


class Announcements(Protocol):
    def add(self, job_id: int, event: str, version: str, payload: Mapping[str, object]) -> None: ...


class Shadows(Protocol):
    def scored(self, job_id: int) -> int:
        """Return how many traces a job's candidate has scored beside the champion."""
        ...


class Preferences(Protocol):
    def count_since(self, time: datetime | None) -> int: ...

    def count_thumbs_since(self, time: datetime | None) -> int:
        """Return how many answers whose text is kept were given a thumb since."""
        ...

    def count_refusals_since(self, time: datetime | None) -> int:
        """Return how many answers whose text is kept people judged for refusals since; all of them for None."""
        ...

    def keep_set(self, file: HashedFile, card: Path) -> None:
        """Keep the pairs that a run is given, and their data card, so that both can be told by the file's hash."""
        ...


class Audit(Protocol):
    def record(self, action: str, subject: str, *, by: Author, detail: Mapping[str, object]) -> None: ...


class UnitOfWork(Protocol):
    @property
    def jobs(self) -> Jobs: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def baselines(self) -> Baselines: ...
    @property
    def alarms(self) -> Alarms: ...
    @property
    def bakes(self) -> Bakes: ...
    @property
    def announcements(self) -> Announcements: ...
    @property
    def shadows(self) -> Shadows: ...
    @property
    def preferences(self) -> Preferences: ...
    @property
    def audit(self) -> Audit: ...


class Transactions(Protocol):
    def __call__(self) -> AbstractContextManager[UnitOfWork]:
        """Begin a unit of work: all of it is stored when the block ends well, nothing otherwise."""
        ...


def lock_job(work: UnitOfWork, job_id: int) -> JobRecord:
    record = work.jobs.locked(job_id)
    if record is None:
        raise NotFound(f"job {job_id}: no such job")
    return record


def move(
    work: UnitOfWork, record: JobRecord, state: JobState, change: JobChange | None = None, *, by: Author, note: str
) -> JobRecord:
    """Move a locked job to *state* with its *change*, its event and its audit entry; return it as it is now.

    Raises `Conflict` where `TRANSITIONS` has no such step.
    """
    before, job_id = record.job.state, record.job.job_id
    if state not in TRANSITIONS[before]:
        following = sorted(TRANSITIONS[before])
        may = f"only {' or '.join(following)}" if following else "that state is final"
        raise Conflict(f"job {job_id} is {before}; it cannot become {state}, {may}")
    after = work.jobs.update(job_id, state, change or {})
    work.jobs.add_event(job_id, state, by=by, note=note)
    detail = {"from": before, "to": state, "note": note}
    work.audit.record(f"job.{state}", f"job {job_id}", by=by, detail=detail)
    return after
