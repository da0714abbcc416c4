"""The dispatcher: takes a queued job, has it run, and brings what comes of it before the gate."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, Protocol

from monitor.domain.job import Hold, JobState, RunProgress, Verdict
from monitor.errors import Conflict, Fenced, InvalidInput, Unavailable
from monitor.retraining.gate import judge
from monitor.retraining.launcher import Elsewhere, Launcher, Run, RunStatus
from monitor.retraining.lease import decide_takeover
from monitor.retraining.records import JobRecord, Lease, Report, RunHandle
from monitor.retraining.report.page import Judged, tell_verdict
from monitor.retraining.run_folder import RunFolders, collect_result, verify_result
from monitor.runs.result import ExitCode, RunResult
from monitor.runs.spec import RunSpec
from monitor.settings.retrain import RetrainSettings

_SLOW_STEP_LEASES = 10  # exporting and hashing beat no heart, so they hold the lease for this many terms
NOTHING_NEW = RunStatus(exit_code=None, progress=None)
# What another attempt would meet again until somebody sees to the disk.
_WAITS_FOR_SOMEBODY = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class Jobs(Protocol):
    """A job's way from queued to its verdict, as `retraining.lease.LeasedJobs` has it."""

    def waiting(self) -> Sequence[JobRecord]: ...
    def take(self, seen: JobRecord, *, owner: str, attached: bool, seconds: float) -> Lease | None: ...
    def heartbeat(self, lease: Lease, *, seconds: float, progress: str | None, detail: RunProgress | None) -> bool: ...
    def running(self, lease: Lease, spec: RunSpec, handle: RunHandle) -> None: ...
    def evaluating(self, lease: Lease, result: RunResult, *, seconds: float) -> None: ...
    def judged(
        self, lease: Lease, result: RunResult, verdict: Verdict, *, report: Report | None, problem: str
    ) -> JobState: ...
    def attempt_failed(self, lease: Lease, error: str, *, max_attempts: int, log_tail: str = "") -> JobState: ...
    def lost(self, lease: Lease, reason: str, *, log_tail: str = "") -> JobState: ...
    def hold(self, lease: Lease, error: str) -> None: ...
    def release(self, lease: Lease, *, seconds: float) -> None: ...
    def goes_on(self, job_id: int, handle: RunHandle) -> bool: ...
    def abandoned(self) -> Sequence[JobRecord]: ...
    def forget_run(self, job_id: int, handle: RunHandle) -> None: ...


class Promotions(Protocol):
    def promote_passed(self, mode: Literal["automatic", "manual"]) -> Hold | int | None:
        """Promote the job that passed its gate, if *mode* says so; return its number, or why not."""
        ...


class Housekeeping(Protocol):
    def tidy(self) -> None:
        """Remove what ended attempts left and nobody needs."""
        ...


class Step(StrEnum):
    """What a tick did."""

    IDLE = "idle"
    LEASED = "leased"
    ATTACHED = "attached"  # a run that another process had started was taken up again
    STARTED = "started"
    WATCHED = "watched"
    JUDGED = "judged"
    ATTEMPT_FAILED = "attempt_failed"
    LOST = "lost"  # the run was ended from outside; the attempt begins again
    HELD = "held"  # the job waits for an operator
    PROMOTED = "promoted"
    FENCED = "fenced"  # the job was cancelled or taken over


@dataclass(slots=True)
class _Held:
    lease: Lease
    spec: RunSpec | None = None
    handle: RunHandle | None = None  # it is noted; the start may have failed halfway
    run: Run | None = None


class Dispatcher:
    """Runs one job at a time. `tick` and `close` are called by one thread.

    Every replica may run a dispatcher: a job is handed to one of them. A run
    outlives the dispatcher that started it, and is taken up by the next one.
    """

    def __init__(
        self,
        settings: RetrainSettings,
        *,
        owner: str,
        jobs: Jobs,
        promotions: Promotions,
        folders: RunFolders,
        launcher: Launcher,
        housekeeping: Housekeeping,
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._jobs = jobs
        self._promotions = promotions
        self._folders = folders
        self._launcher = launcher
        self._housekeeping = housekeeping
        self._term = settings.lease_seconds
        self._held: _Held | None = None
        self._swept = False

    def tick(self) -> Step:
        """Take one step. After `Unavailable` the same step is taken again by the next tick."""
        self._end_abandoned()
        held = self._held
        try:
            if held is None:
                return self._take_up()
            if held.run is None or held.spec is None:
                return self._start(held)
            return self._watch(held, held.run, held.spec)
        except Fenced:
            self._let_go()
            return Step.FENCED

    def close(self) -> None:
        """Leave, with the run in hand going on, and give its lease back for the next start or another replica.

        Where the database is away the lease runs out by itself, and the run is found all the same.
        """
        if self._held is None:
            return
        with suppress(Unavailable):
            try:
                self._jobs.release(self._held.lease, seconds=self._term)
                self._held = None
            except Fenced:
                self._let_go()

    def _take_up(self) -> Step:
        if isinstance(self._promotions.promote_passed(self._settings.promotion), int):
            return Step.PROMOTED
        for record in self._jobs.waiting():
            found = self._launcher.attach(record.handle) if record.handle is not None else None
            if not decide_takeover(record, found):
                continue
            run = None if isinstance(found, Elsewhere) else found
            attached = run is not None
            lease = self._jobs.take(record, owner=self._owner, attached=attached, seconds=self._slow_seconds)
            if lease is None:
                continue
            self._held = _Held(lease, record.spec if attached else None, run=run)
            return Step.ATTACHED if attached else Step.LEASED
        return Step.IDLE

    def _start(self, held: _Held) -> Step:
        """Prepare the folder, note spec and handle, then start: a run the database does not know never exists."""
        lease = held.lease
        try:
            if held.handle is None:
                self._prepare(held)
            else:
                self._beat(lease, seconds=self._slow_seconds)
            assert held.handle is not None
            held.run = self._launcher.start(held.handle)
        except InvalidInput as error:
            return self._give_up(lease, str(error), max_attempts=lease.attempt)
        except OSError as error:
            reason = f"the run could not be started: {error}"
            return self._wait(lease, reason) if error.errno in _WAITS_FOR_SOMEBODY else self._give_up(lease, reason)
        self._beat(lease)
        return Step.STARTED

    def _prepare(self, held: _Held) -> None:
        lease = held.lease
        self._end_strays()
        self._housekeeping.tidy()
        spec = self._folders.prepare(lease.job_id, lease.action, lease.attempt)
        handle = self._launcher.handle(self._folders.of_attempt(lease.job_id, lease.attempt))
        self._jobs.running(lease, spec, handle)
        held.spec, held.handle = spec, handle

    def _watch(self, held: _Held, run: Run, spec: RunSpec) -> Step:
        try:
            status = run.status()
        except Unavailable:  # what runs there goes on, and is still ours
            self._beat(held.lease)
            raise
        if status.gone is not None:
            self._jobs.lost(held.lease, status.gone, log_tail=status.log_tail)
            self._end()
            return Step.LOST
        if status.exit_code is None:
            self._beat(held.lease, status)
            return Step.WATCHED
        if status.exit_code == ExitCode.NO_ROOM:
            return self._wait(held.lease, f"the disk is full: {status.progress or 'the run had no room to say more'}")
        self._beat(held.lease, status, seconds=self._slow_seconds)
        return self._evaluate(held.lease, spec, run, status)

    def _evaluate(self, lease: Lease, spec: RunSpec, run: Run, status: RunStatus) -> Step:
        folder = self._folders.of_attempt(lease.job_id, lease.attempt)
        assert status.exit_code is not None
        try:
            run.fetch()
            result = collect_result(folder, spec, exit_code=status.exit_code, last_words=status.progress)
            self._jobs.evaluating(lease, result, seconds=self._slow_seconds)
            verify_result(folder, result)
            judged_against = spec.champion.version if spec.champion is not None else None
            champion = self._folders.champion_version(result.role)
            if champion != judged_against:
                raise InvalidInput(f"the champion changed during the run from {judged_against} to {champion}")
            verdict = judge(spec.action, result, self._settings.gate)
            told = Judged(lease, folder, spec, result, verdict, datetime.now(UTC))
            report, problem = tell_verdict(told)
            self._jobs.judged(lease, result, verdict, report=report, problem=problem)
        except (InvalidInput, Conflict, OSError) as error:  # OSError: its files cannot be read
            hopeless = status.exit_code == ExitCode.BAD_SPEC
            attempts = lease.attempt if hopeless else None
            return self._give_up(lease, str(error), max_attempts=attempts, log_tail=status.log_tail)
        self._end(resumed=False)
        return Step.JUDGED

    def _give_up(self, lease: Lease, error: str, *, max_attempts: int | None = None, log_tail: str = "") -> Step:
        attempts = max_attempts or self._settings.max_attempts
        state = self._jobs.attempt_failed(lease, error, max_attempts=attempts, log_tail=log_tail)
        self._end(resumed=state is not JobState.FAILED)
        return Step.ATTEMPT_FAILED

    def _wait(self, lease: Lease, reason: str) -> Step:
        self._jobs.hold(lease, f"{reason}; approve the job once that is mended")
        self._end()
        return Step.HELD

    def _end(self, *, resumed: bool = True) -> None:
        """Let go of the job; *resumed*: another run of it may go on where this one stopped."""
        held, self._held = self._held, None
        if held is not None and held.run is not None:
            with suppress(Unavailable):
                held.run.discard(resumed=resumed)
        self._housekeeping.tidy()

    def _beat(self, lease: Lease, status: RunStatus = NOTHING_NEW, *, seconds: float | None = None) -> None:
        seconds = seconds or self._term
        if not self._jobs.heartbeat(lease, seconds=seconds, progress=status.progress, detail=status.detail):
            raise Fenced(f"job {lease.job_id}: attempt {lease.attempt} was cancelled or taken over")

    def _let_go(self) -> None:
        """Leave a job that is ours no more: its run ends with it, unless another dispatcher has taken it up."""
        held = self._held
        if held is not None and held.run is not None and not self._jobs.goes_on(held.lease.job_id, held.run.handle):
            held.run.cancel()
            self._jobs.forget_run(held.lease.job_id, held.run.handle)
        self._held = None
        self._housekeeping.tidy()

    def _end_abandoned(self) -> None:
        """End the runs of cancelled jobs that are within reach, whoever started them; at first, stray ones too."""
        if not self._swept:
            self._end_strays()
            self._swept = True
        for record in self._jobs.abandoned():
            assert record.handle is not None
            found = self._launcher.attach(record.handle)
            if isinstance(found, Elsewhere):
                continue
            if found is not None:
                found.cancel()
                found.discard(resumed=False)
            self._jobs.forget_run(record.job.job_id, record.handle)

    def _end_strays(self) -> None:
        """End the runs on this host that another run of their job has taken the place of."""
        for job_id, run in self._folders.found(self._launcher):
            if not self._jobs.goes_on(job_id, run.handle):
                run.cancel()

    @property
    def _slow_seconds(self) -> float:
        return _SLOW_STEP_LEASES * self._term
