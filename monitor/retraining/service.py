"""What operators, rules and the schedule ask of jobs: started, ordered about, listed."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from monitor.domain.job import Action, Hold, Job, JobState, Launch, Offer, PlannedStart
from monitor.domain.order import ORDERS, Actor, JobOrder, Role
from monitor.domain.view import JobDetail
from monitor.errors import Conflict, InvalidInput
from monitor.retraining.bake import keep
from monitor.retraining.budget import WEEK, gpu_hours, hold_budget, run_times
from monitor.retraining.cause import NO_VERDICTS, Verdicts
from monitor.retraining.planner import Planner
from monitor.retraining.records import Author, JobChange, LearningFacts, RaterFacts, TriggerFacts
from monitor.retraining.release import Releases
from monitor.retraining.schedule import periodic_rules
from monitor.retraining.trigger import hold_raters
from monitor.retraining.work import Transactions, UnitOfWork, lock_job, move
from monitor.runs.action import ACTIONS
from monitor.runs.policy import POLICY
from monitor.runs.refusal import REFUSAL
from monitor.runs.result import RewardResult
from monitor.settings.retrain import RetrainSettings


class JobService:
    """Commands and reads; every command checks the job's state under its lock and is audited."""

    def __init__(
        self,
        begin: Transactions,
        releases: Releases,
        settings: RetrainSettings = RetrainSettings(),
        raters: Callable[[Action], RaterFacts] = lambda _: RaterFacts(),
        *,
        verdicts: Verdicts = NO_VERDICTS,
        no_weights: str | None = None,
    ) -> None:
        """*no_weights* says why no refusal model is followed that a refresh could correct; None where one is."""
        self._begin = begin
        self._releases = releases
        self._settings = settings
        self._raters = raters
        self._no_weights = no_weights
        self._planner = Planner(settings, verdicts)

    def launch(self, launch: Launch, *, reason: str, actor: str) -> Job | Hold:
        """Create the job a rule or the schedule decided on; a Hold where it cannot be."""
        with self._begin() as work:
            return _create(work, launch, reason=reason, by=Author(actor, "daemon"))

    def start_job(
        self, action: Action, reason: str, *, actor: Actor, force: bool = False, alarm_id: int | None = None
    ) -> Job:
        """Queue a job by hand; *force* although its annotators do not agree or have changed, or the budget is spent.

        Raises `Conflict` where one of these holds it and it is not forced, where the action has nothing to train or to
        judge by, and while another job of it is live.
        """
        launch = Launch(action, alarm_id=alarm_id, needs_approval=False)
        held = None if force else self._hold_by_hand(action)
        if held is not None:
            raise Conflict(f"{action}: {held.reason}: {held.detail}; it can be forced")
        with self._begin() as work:
            created = self._lacks(work, action) or _create(
                work, launch, reason=reason, by=Author(actor.name, actor.role), forced=force
            )
        if isinstance(created, Hold):
            raise Conflict(f"{action}: {created.reason}: {created.detail}")
        return created

    def _hold_by_hand(self, action: Action) -> Hold | None:
        """Say what holds a start by hand unless it is forced: what it costs, and whom it would learn from.

        Quiet hours, cooldown and back-off are for what starts by itself: here somebody has decided.
        """
        return hold_raters(self._raters(action), self._settings.raters) or hold_budget(
            self._settings.budget, self.trigger_facts(action).runs, datetime.now(UTC)
        )

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
            if order is JobOrder.KEEP:
                keep(work, self._releases, job_id, actor=actor, note=words)
                return record.job
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

    def jobs(
        self, *, limit: int, before: int | None = None, state: JobState | None = None, action: Action | None = None
    ) -> tuple[Job, ...]:
        """Return the newest jobs first, those numbered below *before*, in *state* and of *action* where given."""
        with self._begin() as work:
            return tuple(record.job for record in work.jobs.newest(limit, before, state=state, action=action))

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
        since = datetime.now(UTC) - WEEK
        with self._begin() as work:
            return TriggerFacts(
                alarms=work.alarms.facts(),
                jobs=tuple(work.jobs.facts(action)),
                runs=run_times(work.jobs.steps_since(since)),
                lacks=self._lacks(work, action),
            )

    def gpu_hours(self) -> float:
        """Return what the runs of the last seven days took, those under way included."""
        now = datetime.now(UTC)
        with self._begin() as work:
            runs = run_times(work.jobs.steps_since(now - WEEK))
        return gpu_hours(runs, gpus=self._settings.budget.gpus_a_run, now=now)

    def learning_facts(self, action: Action) -> LearningFacts:
        with self._begin() as work:
            taken = work.registry.pairs_taken_at(ACTIONS[action].result.role) if action in ACTIONS else None
            if action is Action.KTO:
                new, what = work.preferences.count_thumbs_since(taken), "answers with a thumb"
            elif action is Action.REFUSAL_REFRESH:
                new, what = work.preferences.count_refusals_since(taken), "answers judged for refusals"
            else:
                new, what = work.preferences.count_since(taken), "preference pairs"
        return LearningFacts(new, self._raters(action), what)

    def calendar_since(self, action: Action, cron: str) -> datetime | None:
        with self._begin() as work:
            return work.jobs.calendar_since(action, cron)

    def follow_calendar(self) -> None:
        """Note the calendar's lines that are new: their fire times count from now on, whoever leads."""
        with self._begin() as work:
            for rule in periodic_rules(self._settings).values():
                work.jobs.follow_calendar(rule.action, rule.cron)

    def offers(self) -> tuple[Offer, ...]:
        """Return every action, and what it lacks where nobody can start it."""
        with self._begin() as work:
            return tuple(Offer(action, self._lacks(work, action)) for action in Action)

    def plan(self) -> tuple[PlannedStart, ...]:
        """Return what every rule, and then the calendar, would do now."""
        return tuple(planned.shown() for planned in self._planner.plans(self, datetime.now(UTC)))

    def start_due(self) -> tuple[PlannedStart, ...]:
        """Start what rules and the calendar ask for now; return what became of each."""
        told = []
        for planned in self._planner.plans(self, datetime.now(UTC)):
            if planned.launch is not None:
                started = self.launch(planned.launch, reason=planned.reason, actor=planned.actor)
                if isinstance(started, Hold):  # somebody else was quicker
                    told.append(replace(planned, launch=None, holds=(started,)).shown())
                    continue
            told.append(planned.shown())
        return tuple(told)

    def _lacks(self, work: UnitOfWork, action: Action) -> Hold | None:
        """Say what no run of *action* can do without, and is not there."""
        if action not in ACTIONS:
            return Hold("unsupported_action", f"{action} runs are not available; wanted {', '.join(ACTIONS)}")
        role = ACTIONS[action].result.role
        if role == REFUSAL and (self._no_weights or work.registry.pointer(role) is None):
            why = self._no_weights or "no weights are registered; a daemon does so at its start"
            return Hold("no_weights", f"{action}: {why}")
        if role != POLICY:
            return None
        if self._settings.policy.model is None and work.registry.pointer(POLICY) is None:
            return Hold(
                "no_policy", f"{action}: no policy to train; retrain.policy.model names the folder of the first"
            )
        if work.registry.pointer(RewardResult.role) is None:
            return Hold("no_scorer", f"{action}: no reward model to judge by; wanted rewards.backend: huggingface")
        return None


def _create(work: UnitOfWork, launch: Launch, *, reason: str, by: Author, forced: bool = False) -> Job | Hold:
    state = JobState.AWAITING_APPROVAL if launch.needs_approval else JobState.QUEUED
    record = work.jobs.insert(launch, state, reason=reason, requested_by=by.name)
    if record is None:
        return Hold("job_running", f"a {launch.action} job is not finished; one of an action can be live")
    job_id = record.job.job_id
    work.jobs.add_event(job_id, state, by=by, note=reason)
    work.audit.record("job.start", f"job {job_id}", by=by, detail={"reason": reason, "state": state, "forced": forced})
    return record.job
