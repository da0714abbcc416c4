"""The dispatcher: takes a queued job, has it run, and brings what comes of it before the gate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from monitor.domain.job import Action, Hold, JobState, Verdict
from monitor.errors import Conflict, Fenced, InvalidInput
from monitor.retraining.gate import judge
from monitor.retraining.run_folder import RunFolders, collect_result, verify_result
from monitor.runs.result import RunResult
from monitor.runs.spec import RunSpec
from monitor.settings import RetrainSettings

EXIT_BAD_SPEC = 2  # of `python -m retrain`: another attempt would read the same
_SLOW_STEP_LEASES = 10  # exporting and hashing beat no heart, so they hold the lease for this many terms


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one attempt of a job; whoever else takes the job up fences it."""

    job_id: int
    action: Action
    attempt: int  # from 1
    owner: str


@dataclass(frozen=True, slots=True)
class RunStatus:
    exit_code: int | None  # None: still running
    progress: str | None  # the last thing it said


class Run(Protocol):
    def status(self) -> RunStatus: ...

    def cancel(self) -> None:
        """End the run and all its processes; return when they are gone."""
        ...


class Launcher(Protocol):
    def start(self, folder: Path) -> Run:
        """Start a run of `folder/spec.json`; raise `OSError` where it cannot be started."""
        ...

    def stop_stale(self, job_folder: Path) -> None:
        """End what earlier attempts of the job may have left running within reach."""
        ...


class JobStore(Protocol):
    """A job's way from queued to its verdict. With a lease that is lost, all raise `Fenced` but `heartbeat`."""

    def lease(self, owner: str, *, now: datetime, expires_at: datetime, max_attempts: int) -> Lease | None:
        """Take the oldest job that is queued or whose launcher fell silent; None where there is none."""
        ...

    def heartbeat(self, lease: Lease, *, expires_at: datetime, progress: str | None) -> bool:
        """Keep the lease; False where it is lost or the job was cancelled."""
        ...

    def running(self, lease: Lease, spec: RunSpec) -> None: ...

    def evaluating(self, lease: Lease, result: RunResult, *, expires_at: datetime) -> None: ...

    def judged(self, lease: Lease, result: RunResult, verdict: Verdict) -> JobState:
        """Record the verdict and register the candidate."""
        ...

    def attempt_failed(self, lease: Lease, error: str, *, max_attempts: int) -> JobState:
        """Queue the job again, or fail it when its attempts are used up."""
        ...

    def release(self, lease: Lease) -> None:
        """Queue the job again without counting the attempt."""
        ...

    def promote_passed(self, mode: Literal["automatic", "manual"]) -> Hold | int | None:
        """Promote the job that passed its gate, if *mode* says so; return its number, or why not."""
        ...


class Step(StrEnum):
    """What a tick did."""

    IDLE = "idle"
    LEASED = "leased"
    STARTED = "started"
    WATCHED = "watched"
    JUDGED = "judged"
    ATTEMPT_FAILED = "attempt_failed"
    PROMOTED = "promoted"
    FENCED = "fenced"  # the job was cancelled or taken over; its run here has been ended


@dataclass(slots=True)
class _Held:
    lease: Lease
    spec: RunSpec | None = None
    run: Run | None = None


class Dispatcher:
    """Runs one job at a time. `tick` and `close` are called by one thread.

    Every replica may run a dispatcher: the store hands a job to one of them. The
    replicas' clocks must agree to well within a lease.
    """

    def __init__(
        self, settings: RetrainSettings, *, owner: str, jobs: JobStore, folders: RunFolders, launcher: Launcher
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._jobs = jobs
        self._folders = folders
        self._launcher = launcher
        self._term = timedelta(seconds=settings.lease_seconds)
        self._held: _Held | None = None

    def tick(self, now: datetime) -> Step:
        """Take one step. After `Unavailable` the same step is taken again by the next tick."""
        try:
            if self._held is None:
                return self._take_up(now)
            if self._held.run is None or self._held.spec is None:
                return self._start(self._held, now)
            return self._watch(self._held, self._held.run, self._held.spec, now=now)
        except Fenced:
            self._drop()
            return Step.FENCED

    def close(self) -> None:
        """End the run in hand and give its job back to the queue, for another replica or the next start."""
        if self._held is None:
            return
        lease = self._held.lease
        self._drop()
        try:
            self._jobs.release(lease)
        except Fenced:
            return  # it is somebody else's already

    def _take_up(self, now: datetime) -> Step:
        if isinstance(self._jobs.promote_passed(self._settings.promotion), int):
            return Step.PROMOTED
        lease = self._jobs.lease(
            self._owner,
            now=now,
            expires_at=now + _SLOW_STEP_LEASES * self._term,
            max_attempts=self._settings.max_attempts,
        )
        if lease is None:
            return Step.IDLE
        self._held = _Held(lease)
        return Step.LEASED

    def _start(self, held: _Held, now: datetime) -> Step:
        """Prepare the folder, record the spec, then start: a run the database does not know never exists."""
        lease = held.lease
        self._launcher.stop_stale(self._folders.of_job(lease.job_id))
        try:
            spec = self._folders.prepare(lease.job_id, lease.action, lease.attempt)
        except InvalidInput as error:
            return self._give_up(lease, str(error), max_attempts=lease.attempt)
        except OSError as error:
            return self._give_up(lease, f"the run could not be prepared: {error}")
        self._jobs.running(lease, spec)
        try:
            held.run = self._launcher.start(self._folders.of_attempt(lease.job_id, lease.attempt))
        except OSError as error:
            return self._give_up(lease, f"the run could not be started: {error}")
        held.spec = spec
        self._beat(lease, None, now)
        return Step.STARTED

    def _watch(self, held: _Held, run: Run, spec: RunSpec, *, now: datetime) -> Step:
        status = run.status()
        if status.exit_code is None:
            self._beat(held.lease, status.progress, now)
            return Step.WATCHED
        return self._evaluate(held.lease, spec, status, now=now)

    def _evaluate(self, lease: Lease, spec: RunSpec, status: RunStatus, *, now: datetime) -> Step:
        folder = self._folders.of_attempt(lease.job_id, lease.attempt)
        assert status.exit_code is not None
        try:
            result = collect_result(folder, spec, exit_code=status.exit_code, last_words=status.progress)
            self._jobs.evaluating(lease, result, expires_at=now + _SLOW_STEP_LEASES * self._term)
            verify_result(folder, result)
            self._same_champion(spec)
            self._jobs.judged(lease, result, judge(spec.action, result, self._settings.gate))
        except (InvalidInput, Conflict, OSError) as error:  # OSError: its files cannot be read
            hopeless = status.exit_code == EXIT_BAD_SPEC
            return self._give_up(lease, str(error), max_attempts=lease.attempt if hopeless else None)
        self._held = None
        return Step.JUDGED

    def _same_champion(self, spec: RunSpec) -> None:
        judged_against = spec.champion.version if spec.champion is not None else None
        champion = self._folders.champion_version()
        if champion != judged_against:
            raise InvalidInput(f"the champion changed during the run from {judged_against} to {champion}")

    def _give_up(self, lease: Lease, error: str, *, max_attempts: int | None = None) -> Step:
        self._jobs.attempt_failed(lease, error, max_attempts=max_attempts or self._settings.max_attempts)
        self._held = None
        return Step.ATTEMPT_FAILED

    def _beat(self, lease: Lease, progress: str | None, now: datetime) -> None:
        if not self._jobs.heartbeat(lease, expires_at=now + self._term, progress=progress):
            raise Fenced(f"job {lease.job_id}: attempt {lease.attempt} was cancelled or taken over")

    def _drop(self) -> None:
        held, self._held = self._held, None
        if held is not None and held.run is not None:
            held.run.cancel()
