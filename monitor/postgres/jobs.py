"""Jobs as operators, rules and the console see them: started, ordered about, listed."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Engine, RowMapping, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.alarm import AlarmState, Severity
from monitor.domain.job import LIVE, Action, Hold, Job, JobState, Launch
from monitor.domain.order import ORDERS, Actor, JobOrder, Role
from monitor.domain.view import JobDetail, JobEvent
from monitor.errors import Conflict, InvalidInput
from monitor.postgres import schema
from monitor.postgres.engine import transaction
from monitor.postgres.job_rows import (
    Author,
    author_of,
    clean,
    job_of,
    lock_job,
    move,
    record_audit,
    record_event,
    verdict_of,
)
from monitor.postgres.preferences import count_pairs
from monitor.postgres.registry import REWARD, OnPromoted, promote, roll_back
from monitor.retraining.trigger import AlarmFact, TriggerFacts

SUPPORTED = frozenset({Action.REWARD_REFRESH})


class JobService:
    """Commands and reads; every command checks the job's state under its row lock and is audited."""

    def __init__(self, engine: Engine, on_promoted: OnPromoted) -> None:
        self._engine = engine
        self._on_promoted = on_promoted

    def launch(self, launch: Launch, *, reason: str, actor: str) -> Job | Hold:
        """Create the job a rule or the schedule decided on; a Hold where it cannot be."""
        with transaction(self._engine) as connection:
            return _create(connection, launch, reason=reason, by=Author(actor, "daemon"))

    def start_job(self, action: Action, reason: str, *, actor: Actor) -> Job:
        """Queue a job by hand; raise `Conflict` while another job of the action is live."""
        launch = Launch(action, alarm_id=None, needs_approval=False)
        with transaction(self._engine) as connection:
            created = _create(connection, launch, reason=reason, by=author_of(actor))
        if isinstance(created, Hold):
            raise Conflict(f"{action}: {created.reason}: {created.detail}")
        return created

    def move_job(self, job_id: int, order: JobOrder, *, actor: Actor, note: str = "") -> Job:
        """Carry out *order* as `domain.order.ORDERS` has it.

        Raises `NotFound` for an unknown job, `Conflict` where its state does not allow the order.
        """
        by, words = author_of(actor), note or f"{order} by {actor.name}"
        with transaction(self._engine) as connection:
            row = lock_job(connection, job_id)
            return job_of(self._carry_out(connection, row, order, by=by, note=words))

    def override(self, job_id: int, reason: str, *, actor: Actor) -> Job:
        """Promote a candidate that failed the gate, on an operator's word, which the audit keeps.

        Raises `InvalidInput` without a reason or from anybody but an operator.
        """
        if not reason.strip():
            raise InvalidInput(f"job {job_id}: an override without a reason; wanted why the verdict does not count")
        if not actor.role.covers(Role.OPERATOR):
            raise InvalidInput(f"job {job_id}: an override by the {actor.role} {actor.name!r}; wanted an operator")
        by = author_of(actor)
        with transaction(self._engine) as connection:
            row = lock_job(connection, job_id)
            if row["state"] != JobState.FAILED_GATE:
                raise Conflict(f"job {job_id} is {row['state']}; only a job that is failed_gate can be overridden")
            verdict = verdict_of(row)
            assert verdict is not None
            failed = [check.name for check in verdict.checks if not check.passed]
            detail = {"reason": reason, "failed_checks": failed, "evidence_sha256": verdict.evidence_sha256}
            record_audit(connection, by=by, action="gate.override", subject=f"job {job_id}", detail=detail)
            after = promote(connection, row, by=by, note=f"gate overridden: {reason}", on_promoted=self._on_promoted)
            return job_of(after)

    def jobs(self, *, limit: int) -> tuple[Job, ...]:
        """Return the newest jobs first."""
        query = select(schema.job).order_by(schema.job.c.job_id.desc()).limit(limit)
        with transaction(self._engine) as connection:
            return tuple(job_of(row) for row in connection.execute(query).mappings())

    def job(self, job_id: int) -> JobDetail | None:
        event = schema.job_event.c
        events = select(schema.job_event).where(event.job_id == job_id).order_by(event.job_event_id)
        with transaction(self._engine) as connection:
            query = select(schema.job).where(schema.job.c.job_id == job_id)
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                return None
            told = tuple(JobEvent(e.at, e.state, e.actor, e.note) for e in connection.execute(events))
        return JobDetail(job_of(row), told)

    def trigger_facts(self, action: Action) -> TriggerFacts:
        """Return what a rule for *action* is decided on, all of one moment."""
        job = schema.job.c
        latest = select(func.max(job.created_at)).where(job.action == action)
        live = select(func.count()).select_from(schema.job).where(job.action == action, job.state.in_(LIVE))
        with transaction(self._engine) as connection:
            return TriggerFacts(
                alarms=_alarm_facts(connection, action),
                pairs_new=_pairs_new(connection),
                live_job=connection.execute(live).scalar_one() > 0,
                last_started=connection.execute(latest).scalar_one(),
            )

    def _carry_out(
        self, connection: Connection, row: RowMapping, order: JobOrder, *, by: Author, note: str
    ) -> RowMapping:
        state = JobState(row["state"])
        target = ORDERS.get(state, {}).get(order)
        if target is None:
            raise Conflict(f"job {row['job_id']} is {state}; {order} wants one that is {_allowing(order)}")
        if target is JobState.PROMOTED:
            return promote(connection, row, by=by, note=note, on_promoted=self._on_promoted)
        if target is JobState.ROLLED_BACK:
            return roll_back(connection, row, by=by, note=note)
        return move(connection, row, target, by=by, note=note, lease_owner=None, lease_expires_at=None)


def _create(connection: Connection, launch: Launch, *, reason: str, by: Author) -> Job | Hold:
    """Insert the job unless one of its action is live: a partial unique index decides, so no race can."""
    if launch.action not in SUPPORTED:
        return Hold("unsupported_action", f"{launch.action} runs are not available; wanted {', '.join(SUPPORTED)}")
    state = JobState.AWAITING_APPROVAL if launch.needs_approval else JobState.QUEUED
    values = {
        "action": launch.action,
        "state": state,
        "reason": clean(reason),
        "requested_by": by.name,
        "alarm_id": launch.alarm_id,
    }
    row = _insert(connection, values)
    if row is None:
        return Hold("job_running", f"a {launch.action} job is not finished; one of an action can be live")
    record_event(connection, row["job_id"], state, by=by, note=reason)
    subject = f"job {row['job_id']}"
    record_audit(connection, by=by, action="job.start", subject=subject, detail={"reason": reason, "state": state})
    return job_of(row)


def _insert(connection: Connection, values: Mapping[str, object]) -> RowMapping | None:
    statement = upsert(schema.job).values(values).on_conflict_do_nothing().returning(schema.job)
    return connection.execute(statement).mappings().one_or_none()


def _alarm_facts(connection: Connection, action: Action) -> tuple[AlarmFact, ...]:
    alarm = schema.alarm.c
    has_job = select(schema.job.c.job_id).where(schema.job.c.alarm_id == alarm.alarm_id, schema.job.c.action == action)
    query = select(
        alarm.alarm_id, alarm.signal, alarm.severity, alarm.state, alarm.created_at, has_job.exists().label("has_job")
    ).where(alarm.state != AlarmState.SUPERSEDED)
    return tuple(
        AlarmFact(
            alarm_id=row.alarm_id,
            signal=row.signal,
            severity=Severity(row.severity),
            state=AlarmState(row.state),
            created_at=row.created_at,
            has_job=row.has_job,
        )
        for row in connection.execute(query)
    )


def _pairs_new(connection: Connection) -> int:
    """Count the pairs received since the champion's were taken: when its run was leased, or it was registered."""
    model, event = schema.reward_model.c, schema.job_event.c
    taken = (
        select(func.max(event.at))
        .where(event.job_id == model.job_id, event.state == JobState.LEASED)
        .correlate(schema.reward_model)
        .scalar_subquery()
    )
    since = (
        select(func.coalesce(taken, model.created_at))
        .join(schema.registry, schema.registry.c.version == model.version)
        .where(schema.registry.c.role == REWARD)
    )
    return count_pairs(connection, connection.execute(since).scalar_one_or_none())


def _allowing(order: JobOrder) -> str:
    return " or ".join(state for state, orders in ORDERS.items() if order in orders)
