"""A job's way through the dispatcher: leased, running, judged, promoted; every step fenced by the lease."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, Engine, RowMapping, Select, and_, or_, select, update

from monitor.domain.job import Action, Hold, JobState, Verdict
from monitor.errors import Conflict, Fenced, NotFound
from monitor.postgres import schema
from monitor.postgres.engine import transaction
from monitor.postgres.job_rows import Author, clean, document, lock_job, move
from monitor.postgres.registry import OnPromoted, decide_for, promote, register
from monitor.retraining.dispatcher import Lease
from monitor.retraining.promotion import AWAITING, Promote
from monitor.runs.result import RunResult
from monitor.runs.spec import RunSpec

_HELD = (JobState.LEASED, JobState.RUNNING, JobState.EVALUATING)
_NO_LEASE = {"lease_owner": None, "lease_expires_at": None}
_DAEMON = Author("dispatcher", "daemon")


class PostgresJobStore:
    """The dispatcher's `JobStore`; any number of dispatchers may share it."""

    def __init__(self, engine: Engine, on_promoted: OnPromoted) -> None:
        self._engine = engine
        self._on_promoted = on_promoted

    def lease(self, owner: str, *, now: datetime, expires_at: datetime, max_attempts: int) -> Lease | None:
        with transaction(self._engine) as connection:
            row = connection.execute(_next_job(now)).mappings().one_or_none()
            if row is not None and row["state"] != JobState.QUEUED:
                row = _take_from_silent(connection, row, max_attempts)
            if row is None:
                return None
            attempt = row["attempt"] + 1
            move(
                connection,
                row,
                JobState.LEASED,
                by=_DAEMON,
                note=f"attempt {attempt} by {owner}",
                attempt=attempt,
                lease_owner=owner,
                lease_expires_at=expires_at,
                progress=None,
            )
            return Lease(row["job_id"], Action(row["action"]), attempt, owner)

    def heartbeat(self, lease: Lease, *, expires_at: datetime, progress: str | None) -> bool:
        job = schema.job.c
        beat = (
            update(schema.job)
            .where(job.job_id == lease.job_id, job.lease_owner == lease.owner, job.attempt == lease.attempt)
            .where(job.state.in_(_HELD))
            .values(lease_expires_at=expires_at, progress=clean(progress) if progress is not None else job.progress)
        )
        with transaction(self._engine) as connection:
            return connection.execute(beat).rowcount == 1

    def running(self, lease: Lease, spec: RunSpec) -> None:
        self._advance(lease, JobState.RUNNING, note="the run starts", spec=document(spec))

    def evaluating(self, lease: Lease, result: RunResult, *, expires_at: datetime) -> None:
        self._advance(
            lease,
            JobState.EVALUATING,
            note=f"the run ended after {result.seconds:.0f} s",
            result=document(result),
            lease_expires_at=expires_at,
        )

    def judged(self, lease: Lease, result: RunResult, verdict: Verdict) -> JobState:
        state = JobState.PASSED if verdict.passed else JobState.FAILED_GATE
        with transaction(self._engine) as connection:
            row = _held_row(connection, lease)
            register(connection, result.candidate, result.metrics, lease.job_id)
            outcome = {"verdict": document(verdict), "candidate_version": result.candidate.version, "error": None}
            move(connection, row, state, by=_DAEMON, note=_in_words(verdict), **outcome, **_NO_LEASE)
        return state

    def attempt_failed(self, lease: Lease, error: str, *, max_attempts: int) -> JobState:
        state = JobState.FAILED if lease.attempt >= max_attempts else JobState.QUEUED
        note = f"attempt {lease.attempt} failed: {error}"
        with transaction(self._engine) as connection:
            row = _held_row(connection, lease)
            move(connection, row, state, by=_DAEMON, note=note, error=clean(error), **_NO_LEASE)
        return state

    def release(self, lease: Lease) -> None:
        with transaction(self._engine) as connection:
            row = _held_row(connection, lease)
            note = f"{lease.owner} is leaving"
            move(connection, row, JobState.QUEUED, by=_DAEMON, note=note, attempt=lease.attempt - 1, **_NO_LEASE)

    def promote_passed(self, mode: Literal["automatic", "manual"]) -> Hold | int | None:
        """Promote the passed job; cancel it instead where its verdict no longer holds."""
        with transaction(self._engine) as connection:
            row = connection.execute(_passed_job()).mappings().one_or_none()
            if row is None:
                return None
            decision = decide_for(connection, row, mode)
            if isinstance(decision, Promote):
                decision = self._promote(connection, row)
            if isinstance(decision, Promote):
                return int(row["job_id"])
            if decision.reason != AWAITING:
                move(connection, row, JobState.CANCELLED, by=_DAEMON, note=f"{decision.reason}: {decision.detail}")
            return decision

    def _promote(self, connection: Connection, row: RowMapping) -> Promote | Hold:
        """Promote within a savepoint, so that a refusal leaves the transaction usable."""
        try:
            with connection.begin_nested():
                promote(connection, row, by=_DAEMON, note="the gate passed", on_promoted=self._on_promoted)
        except Conflict as refusal:
            return Hold("not_promotable", str(refusal))
        return Promote()

    def _advance(self, lease: Lease, state: JobState, *, note: str, **values: object) -> None:
        """Move a held job on; a step that was committed but not heard of is not taken twice."""
        with transaction(self._engine) as connection:
            row = _held_row(connection, lease)
            if row["state"] == state:
                unmoved = update(schema.job).where(schema.job.c.job_id == lease.job_id).values(**values)
                connection.execute(unmoved)
                return
            move(connection, row, state, by=_DAEMON, note=note, **values)


def _next_job(now: datetime) -> Select[tuple[object, ...]]:
    job = schema.job.c
    silent = and_(job.state.in_(_HELD), job.lease_expires_at < now)
    query = select(schema.job).where(or_(job.state == JobState.QUEUED, silent))
    return query.order_by(job.job_id).limit(1).with_for_update(skip_locked=True)


def _passed_job() -> Select[tuple[object, ...]]:
    query = select(schema.job).where(schema.job.c.state == JobState.PASSED)
    return query.order_by(schema.job.c.job_id).limit(1).with_for_update(skip_locked=True)


def _take_from_silent(connection: Connection, row: RowMapping, max_attempts: int) -> RowMapping | None:
    """Queue a job whose launcher fell silent; None where that was its last attempt and it failed."""
    error = f"attempt {row['attempt']}: {row['lease_owner']} fell silent and its lease ran out"
    exhausted = row["attempt"] >= max_attempts
    state = JobState.FAILED if exhausted else JobState.QUEUED
    after = move(connection, row, state, by=_DAEMON, note=error, error=error, **_NO_LEASE)
    return None if exhausted else after


def _held_row(connection: Connection, lease: Lease) -> RowMapping:
    """Return the job's row, locked, if the lease on it still holds; raise `Fenced` otherwise."""
    try:
        row = lock_job(connection, lease.job_id)
    except NotFound as gone:
        raise Fenced(str(gone)) from None
    held = row["state"] in _HELD and row["lease_owner"] == lease.owner and row["attempt"] == lease.attempt
    if not held:
        raise Fenced(f"job {lease.job_id} is {row['state']} with {row['lease_owner']}, attempt {row['attempt']}")
    return row


def _in_words(verdict: Verdict) -> str:
    failed = [f"{check.name}: {check.reason}" for check in verdict.checks if not check.passed]
    return "the gate failed: " + "; ".join(failed) if failed else f"the gate passed all {len(verdict.checks)} checks"
