"""A job's way through the dispatcher: leased, running, judged; every step fenced by the lease."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monitor.domain.job import JobState, RunProgress, Verdict
from monitor.errors import Fenced
from monitor.retraining.card import model_card
from monitor.retraining.launcher import Elsewhere, Run
from monitor.retraining.records import HELD, Author, JobChange, JobRecord, Lease, Registration, Report, RunHandle
from monitor.retraining.release import register
from monitor.retraining.work import Transactions, UnitOfWork, move
from monitor.runs.result import RunResult
from monitor.runs.spec import RunSpec

MAX_LOST = 10  # runs in a row that are gone at the takeover: their own memory may end the daemon each time
_DAEMON = Author("dispatcher", "daemon")
_ENDED: JobChange = {"lease_owner": None, "lease_seconds": None, "handle": None}


def decide_takeover(record: JobRecord, found: Run | Elsewhere | None) -> bool:
    """Say whether a waiting job is taken now; *found* is what became of its run, as seen from this host.

    A run that is out of reach belongs to the daemon of its own host: to the one that comes next there until
    the lease runs out, and as long as the run is seen to live. After that it counts as gone.
    """
    return not isinstance(found, Elsewhere) or (record.lease_expired and not found.beating)


class LeasedJobs:
    """The dispatcher's jobs; any number of dispatchers may share them. A lost lease raises `Fenced`."""

    def __init__(self, begin: Transactions) -> None:
        self._begin = begin

    def waiting(self) -> Sequence[JobRecord]:
        """Return the jobs that are queued, or held by a lease that ran out or was given back; the oldest first."""
        with self._begin() as work:
            records = work.jobs.in_states({JobState.QUEUED, *HELD})
        return [item for item in records if item.job.state is JobState.QUEUED or _is_free(item)]

    def take(self, seen: JobRecord, *, owner: str, attached: bool, seconds: float) -> Lease | None:
        """Lease a job as it was *seen*; None where somebody else changed it, or where it waits for an operator now.

        A job whose run was attached goes on where it is. Any other begins its attempt: the next one where it
        was queued, the same one where the run that was under way is gone.
        """
        with self._begin() as work:
            record = work.jobs.locked_if_free(seen.job.job_id)
            if record is None or (record.job.state, record.handle) != (seen.job.state, seen.handle):
                return None
            job = record.job
            if job.state in HELD and not _is_free(record):
                return None
            lease: JobChange = {"lease_owner": owner, "lease_seconds": seconds}
            if attached:
                work.jobs.update(job.job_id, job.state, lease)
                work.jobs.add_event(job.job_id, job.state, by=_DAEMON, note=f"{owner} takes up the run")
                return Lease(job.job_id, job.action, job.attempt, owner)
            attempt = job.attempt + 1
            if job.state in HELD:
                attempt = job.attempt
                silent = record.lease_owner or "its launcher"
                record = _requeue_lost(work, record, f"{silent} fell silent, and no run is left of it")
                if record.job.state is not JobState.QUEUED:
                    return None
            note = f"attempt {attempt} by {owner}"
            change: JobChange = {**lease, "attempt": attempt, "progress": None, "progress_detail": None}
            move(work, record, JobState.LEASED, change, by=_DAEMON, note=note)
            return Lease(job.job_id, job.action, attempt, owner)

    def heartbeat(self, lease: Lease, *, seconds: float, progress: str | None, detail: RunProgress | None) -> bool:
        """Keep the lease; False where it is lost or the job was cancelled."""
        with self._begin() as work:
            return work.jobs.beat(lease, seconds=seconds, progress=progress, detail=detail)

    def running(self, lease: Lease, spec: RunSpec, handle: RunHandle) -> None:
        """Note a run and what it learns from before it starts, so that there is none that nobody can find."""
        with self._begin() as work:
            if spec.preferences_card is not None:
                work.preferences.keep_set(spec.preferences, Path(spec.preferences_card))
            _advance(work, lease, JobState.RUNNING, {"spec": spec, "handle": handle}, note="the run starts")

    def evaluating(self, lease: Lease, result: RunResult, *, seconds: float) -> None:
        note = f"the run ended after {result.seconds:.0f} s"
        change: JobChange = {"result": result, "lease_seconds": seconds}
        with self._begin() as work:
            _advance(work, lease, JobState.EVALUATING, change, note=note)

    def judged(
        self, lease: Lease, result: RunResult, verdict: Verdict, *, report: Report | None = None, problem: str = ""
    ) -> JobState:
        """Record the verdict with its report, or with what its report failed at, and register the candidate."""
        state = JobState.PASSED if verdict.passed else JobState.FAILED_GATE
        outcome: JobChange = {
            **_ENDED,
            "verdict": verdict,
            "candidate_version": result.candidate.version,
            "error": None,
        }
        failed = [f"{check.name}: {check.reason}" for check in verdict.checks if not check.passed]
        note = (
            "the gate failed: " + "; ".join(failed) if failed else f"the gate passed all {len(verdict.checks)} checks"
        )
        with self._begin() as work:
            record = _held(work, lease)
            card = model_card(result, verdict, job_id=lease.job_id, reason=record.job.reason)
            register(work, Registration.of(result, lease.job_id, card))
            move(work, record, state, outcome, by=_DAEMON, note=note)
            if report is not None:
                work.jobs.keep_report(lease.job_id, report)
            if problem:
                work.jobs.add_event(lease.job_id, state, by=_DAEMON, note=problem)
        return state

    def attempt_failed(self, lease: Lease, error: str, *, max_attempts: int, log_tail: str = "") -> JobState:
        """Queue the job again, or fail it when its attempts are used up."""
        state = JobState.FAILED if lease.attempt >= max_attempts else JobState.QUEUED
        note = f"attempt {lease.attempt} failed: {error}" + (f"\n{log_tail}" if log_tail else "")
        with self._begin() as work:
            move(work, _held(work, lease), state, {**_ENDED, "error": error}, by=_DAEMON, note=note)
        return state

    def lost(self, lease: Lease, reason: str, *, log_tail: str = "") -> JobState:
        """Begin the attempt again: its run was ended by what it runs on, and not by itself."""
        why = f"the run is gone: {reason}" + (f"\n{log_tail}" if log_tail else "")
        with self._begin() as work:
            return _requeue_lost(work, _held(work, lease), why).job.state

    def hold(self, lease: Lease, error: str) -> None:
        """Let the job wait for an operator, with the attempt not counted: another one would meet the same."""
        with self._begin() as work:
            record = _held(work, lease)
            note = f"waits for an operator: {error}"
            waiting: JobChange = {**_ENDED, "attempt": lease.attempt - 1, "error": error}
            move(work, record, JobState.AWAITING_APPROVAL, waiting, by=_DAEMON, note=note)

    def release(self, lease: Lease, *, seconds: float) -> None:
        """Give the lease back: the job goes to the queue with the attempt not counted, or keeps its run.

        A run that goes on can be taken up at once on its own host, elsewhere not before *seconds*.
        """
        with self._begin() as work:
            record = _held(work, lease)
            note = f"{lease.owner} is leaving"
            if record.handle is None:
                uncounted: JobChange = {**_ENDED, "attempt": lease.attempt - 1}
                move(work, record, JobState.QUEUED, uncounted, by=_DAEMON, note=note)
                return
            work.jobs.update(lease.job_id, record.job.state, {"lease_owner": None, "lease_seconds": seconds})
            work.jobs.add_event(lease.job_id, record.job.state, by=_DAEMON, note=f"{note}; the run goes on")

    def goes_on(self, job_id: int, handle: RunHandle) -> bool:
        """Say whether the run is its job's own and the job is held, by whomever."""
        with self._begin() as work:
            record = work.jobs.get(job_id)
        return record is not None and record.job.state in HELD and record.handle == handle

    def abandoned(self) -> Sequence[JobRecord]:
        """Return the cancelled jobs whose run nobody has ended yet."""
        with self._begin() as work:
            return work.jobs.with_run({JobState.CANCELLED})

    def forget_run(self, job_id: int, handle: RunHandle) -> None:
        with self._begin() as work:
            work.jobs.forget_run(job_id, handle)


def _advance(work: UnitOfWork, lease: Lease, state: JobState, change: JobChange, *, note: str) -> None:
    """Move a held job on; a step that was committed but not heard of is not taken twice."""
    record = _held(work, lease)
    if record.job.state is state:
        work.jobs.update(lease.job_id, state, change)
        return
    move(work, record, state, change, by=_DAEMON, note=note)


def _is_free(record: JobRecord) -> bool:
    return record.lease_expired or record.lease_owner is None


def _requeue_lost(work: UnitOfWork, record: JobRecord, why: str) -> JobRecord:
    """Queue a job whose run is gone, with the attempt not counted, or let an operator look when that goes on."""
    lost = record.lost + 1
    uncounted: JobChange = {**_ENDED, "attempt": record.job.attempt - 1}
    note = f"attempt {record.job.attempt}: {why}"
    if lost <= MAX_LOST:
        return move(work, record, JobState.QUEUED, {**uncounted, "lost": lost}, by=_DAEMON, note=note)
    error = f"{note}; so it was {lost} times: does the run end the daemon, or the machine?"
    return move(work, record, JobState.AWAITING_APPROVAL, {**uncounted, "error": error}, by=_DAEMON, note=error)


def _held(work: UnitOfWork, lease: Lease) -> JobRecord:
    """Return the job, locked, if the lease on it still holds; raise `Fenced` otherwise."""
    record = work.jobs.locked(lease.job_id)
    if record is None:
        raise Fenced(f"job {lease.job_id}: no such job")
    job = record.job
    if not (job.state in HELD and record.lease_owner == lease.owner and job.attempt == lease.attempt):
        raise Fenced(f"job {job.job_id} is {job.state} with {record.lease_owner}, attempt {job.attempt}")
    return record
