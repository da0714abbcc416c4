"""What operators, rules and the schedule ask of jobs: started, ordered about, listed."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime

from monitor.domain.job import Action, Hold, Job, JobState, Launch, PlannedStart
from monitor.domain.order import ORDERS, Actor, JobOrder, Role
from monitor.domain.view import JobDetail
from monitor.errors import Conflict, InvalidInput
from monitor.retraining.records import Author, JobChange, LearningFacts, RaterFacts, TriggerFacts
from monitor.retraining.release import Releases
from monitor.retraining.schedule import plan_refresh
from monitor.retraining.trigger import hold_raters, plan_start
from monitor.retraining.work import Transactions, UnitOfWork, lock_job, move
from monitor.runs.action import ACTIONS
from monitor.settings.retrain import RetrainSettings


class JobService:
    """Commands and reads; every command checks the job's state under its lock and is audited."""

    def __init__(
        self,
        begin: Transactions,
        releases: Releases,
        settings: RetrainSettings = RetrainSettings(),
        raters: Callable[[], RaterFacts] = RaterFacts,
    ) -> None:
        self._begin = begin
        self._releases = releases
        self._settings = settings
        self._raters = raters

    def launch(self, launch: Launch, *, reason: str, actor: str) -> Job | Hold:
        """Create the job a rule or the schedule decided on; a Hold where it cannot be."""
        with self._begin() as work:
            return _create(work, launch, reason=reason, by=Author(actor, "daemon"))

    def start_job(self, action: Action, reason: str, *, actor: Actor, force: bool = False) -> Job:
        """Queue a job by hand; *force* although its annotators do not agree, or have changed.

        Raises `Conflict` where they do not and it is not forced, and while another job of the action is live.
        """
        launch = Launch(action, alarm_id=None, needs_approval=False)
        held = None if force else hold_raters(self._raters(), self._settings.raters)
        if held is not None:
            raise Conflict(f"{action}: {held.reason}: {held.detail}; it can be forced")
        with self._begin() as work:
            created = _create(work, launch, reason=reason, by=Author(actor.name, actor.role), forced=force)
        if isinstance(created, Hold):
            raise Conflict(f"{action}: {created.reason}: {created.detail}")
        return created

    def move_job(self, job_id: int, order: JobOrder, *, actor: Actor, note: str = "") -> Job:
        """Carry out *order* as `domain.order.ORDERS` has it.

        Raises `NotFound` for an unknown job, `Conflict` where its state does not allow the order.
        """
        by, words = Author(actor.name, actor.role), note or f"{order} by {actor.name}"
        with self._begin() as work:
            record = lock_job(work, job_id)
            state = record.job.state
            target = ORDERS.get(state, {}).get(order)
            if target is None:
                allowing = " or ".join(state for state, orders in ORDERS.items() if order in orders)
                raise Conflict(f"job {job_id} is {state}; {order} wants one that is {allowing}")
            if target is JobState.ROLLED_BACK:
                return self._releases.roll_back(work, record, by=by, note=words).job
            if target is not JobState.PROMOTED:
                change: JobChange = {"lease_owner": None, "lease_seconds": None}
                if target is JobState.QUEUED:
                    change["lost"] = 0
                return move(work, record, target, change, by=by, note=words).job
        return self._releases.promote(job_id, by=by, note=words)

    def override(self, job_id: int, reason: str, *, actor: Actor) -> Job:
        """Promote a candidate that failed the gate, on an operator's word, which the audit keeps.

        Raises `InvalidInput` without a reason or from anybody but an operator.
        """
        if not reason.strip():
            raise InvalidInput(f"job {job_id}: an override without a reason; wanted why the verdict does not count")
        if not actor.role.covers(Role.OPERATOR):
            raise InvalidInput(f"job {job_id}: an override by the {actor.role} {actor.name!r}; wanted an operator")
        return self._releases.override(job_id, reason, by=Author(actor.name, actor.role))

    def jobs(self, *, limit: int) -> tuple[Job, ...]:
        """Return the newest jobs first."""
        with self._begin() as work:
            return tuple(record.job for record in work.jobs.newest(limit))

    def job(self, job_id: int) -> JobDetail | None:
        with self._begin() as work:
            record = work.jobs.get(job_id)
            return None if record is None else JobDetail(record.job, tuple(work.jobs.events(job_id)))

    def verdict_page(self, job_id: int) -> bytes | None:
        """Return the page of a job's verdict; None where it has none, or where it could not be made."""
        with self._begin() as work:
            kept = work.jobs.report(job_id)
        return None if kept is None else gzip.decompress(kept.page)

    def trigger_facts(self, action: Action) -> TriggerFacts:
        """Return what a rule for *action* is decided on, all of one moment."""
        with self._begin() as work:
            return TriggerFacts(
                alarms=work.alarms.facts(action),
                live_job=work.jobs.has_live(action),
                last_started=work.jobs.last_created(action),
            )

    def learning_facts(self, action: Action) -> LearningFacts:
        with self._begin() as work:
            taken = work.registry.pairs_taken_at(ACTIONS[action].result.role) if action in ACTIONS else None
            pairs_new = work.preferences.count_since(taken)
        return LearningFacts(pairs_new, self._raters())

    def plan(self) -> tuple[PlannedStart, ...]:
        """Return what every rule, and then the calendar, would do now."""
        now, settings = datetime.now(UTC), self._settings
        planned = []
        for rule in settings.rules:
            decision, reason = plan_start(rule, facts=self, wanted=settings.raters, now=now)
            planned.append(_planned(f"{rule.severity} on {', '.join(rule.signals)}", rule.action, decision, reason))
        cron = settings.refresh_cron
        if cron is not None:
            decision = plan_refresh(cron, facts=self, since=now, wanted=settings.raters, now=now)
            planned.append(_planned(f"refresh_cron {cron}", Action.REWARD_REFRESH, decision))
        return tuple(planned)


def _planned(rule: str, action: Action, decision: Launch | Hold, reason: str = "") -> PlannedStart:
    if isinstance(decision, Hold):
        return PlannedStart(rule, action, decision.reason, decision.detail)
    return PlannedStart(rule, action, "launch", reason)


def _create(work: UnitOfWork, launch: Launch, *, reason: str, by: Author, forced: bool = False) -> Job | Hold:
    if launch.action not in ACTIONS:
        return Hold("unsupported_action", f"{launch.action} runs are not available; wanted {', '.join(ACTIONS)}")
    state = JobState.AWAITING_APPROVAL if launch.needs_approval else JobState.QUEUED
    record = work.jobs.insert(launch, state, reason=reason, requested_by=by.name)
    if record is None:
        return Hold("job_running", f"a {launch.action} job is not finished; one of an action can be live")
    job_id = record.job.job_id
    work.jobs.add_event(job_id, state, by=by, note=reason)
    work.audit.record("job.start", f"job {job_id}", by=by, detail={"reason": reason, "state": state, "forced": forced})
    return record.job
