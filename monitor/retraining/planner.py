"""What every rule, and then the calendar, would start now, and all that holds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from monitor.domain.job import Action, Hold, JobState, Launch, PlannedStart
from monitor.retraining.answer import hold_backoff, told
from monitor.retraining.budget import hold_budget, hold_quiet
from monitor.retraining.cause import Verdicts
from monitor.retraining.records import AlarmFact, LearningFacts, TriggerFacts
from monitor.retraining.schedule import hold_not_due, periodic_rules
from monitor.retraining.trigger import choose_alarm, hold_learning
from monitor.settings.retrain import PeriodicRule, RetrainSettings, TriggerRule

NOTHING_ASKS = frozenset({"no_alarm", "incident_snoozed", "alarm_answered", "not_due"})


class FactSource(Protocol):
    def trigger_facts(self, action: Action) -> TriggerFacts: ...

    def learning_facts(self, action: Action) -> LearningFacts:
        """Return what is asked for only where something else would start a job: it takes longer to know."""
        ...

    def calendar_since(self, action: Action, cron: str) -> datetime | None:
        """Return when the leader first read this line of the calendar, None where it has not yet."""
        ...


@dataclass(frozen=True, slots=True)
class Planned:
    """What one rule comes to: a job to launch, with its reason, or what holds it, the first to be told first."""

    rule: str  # for people
    action: Action
    actor: str  # who starts it
    launch: Launch | None
    reason: str
    holds: tuple[Hold, ...]

    def shown(self) -> PlannedStart:
        if not self.holds:
            waits = self.launch is not None and self.launch.needs_approval
            detail = f"{self.reason}; it will wait for an operator's approval" if waits else self.reason
            return PlannedStart(self.rule, self.action, "launch", detail)
        first = self.holds[0]
        return PlannedStart(self.rule, self.action, first.reason, first.detail, first.until, self.holds)


class Planner:
    """Decides each rule on the facts of its moment: one that is decided later sees the job that one before it started.

    What takes long to know, whether there is something to learn from, is asked where nothing else holds.
    """

    def __init__(self, settings: RetrainSettings, verdicts: Verdicts) -> None:
        self._settings = settings
        self._verdicts = verdicts
        self._first_backoff = timedelta(hours=settings.budget.backoff_hours)

    def plans(self, facts: FactSource, now: datetime) -> Iterator[Planned]:
        """Yield what rules, then lines of the calendar, come to, in the order of the settings."""
        for rule in self._settings.rules:
            yield self._plan_rule(rule, facts, now)
        for setting, periodic in periodic_rules(self._settings).items():
            yield self._plan_periodic(setting, periodic, facts, now)

    def _plan_rule(self, rule: TriggerRule, facts: FactSource, now: datetime) -> Planned:
        known = facts.trigger_facts(rule.action)
        chosen = known.lacks or choose_alarm(
            rule, known.alarms, known.jobs, verdicts=self._verdicts, first_backoff=self._first_backoff, now=now
        )
        alarm = chosen if isinstance(chosen, AlarmFact) else None
        draft = Planned(
            rule=f"{rule.severity} on {', '.join(rule.signals)}",
            action=rule.action,
            actor="trigger",
            launch=Launch(rule.action, alarm.alarm_id if alarm else None, needs_approval=rule.approval == "manual"),
            reason=alarm.name if alarm is not None else "",
            holds=self._holds(chosen, [hold_live(known), hold_cooldown(rule, known.last_started, now)], known, now),
        )
        return self._weighed(draft, facts, min_new=rule.min_new_pairs)

    def _plan_periodic(self, setting: str, rule: PeriodicRule, facts: FactSource, now: datetime) -> Planned:
        known = facts.trigger_facts(rule.action)
        since = [facts.calendar_since(rule.action, rule.cron) or now, known.last_started]
        last = max(time for time in since if time is not None)
        asked = known.lacks or hold_not_due(rule.cron, last=last, now=now, setting=setting)
        failed = hold_backoff(known.jobs, first=self._first_backoff, now=now)
        draft = Planned(
            rule=f"{setting} {rule.cron}",
            action=rule.action,
            actor="schedule",
            launch=Launch(rule.action, alarm_id=None, needs_approval=rule.approval == "manual"),
            reason=f"periodic {rule.action} ({rule.cron})",
            holds=self._holds(asked, [hold_live(known), failed], known, now),
        )
        return self._weighed(draft, facts, min_new=rule.min_new_pairs)

    def _holds(
        self, first: AlarmFact | Hold | None, others: Sequence[Hold | None], known: TriggerFacts, now: datetime
    ) -> tuple[Hold, ...]:
        """Return all that holds a start and is known at once; only the first where nothing asks for one."""
        asked = first if isinstance(first, Hold) else None
        if asked is not None and (asked.reason in NOTHING_ASKS or asked is known.lacks):
            return (asked,)
        budget = self._settings.budget
        every = [asked, *others, hold_quiet(budget, now), hold_budget(budget, known.runs, now)]
        return tuple(hold for hold in every if hold is not None)

    def _weighed(self, draft: Planned, facts: FactSource, *, min_new: int) -> Planned:
        """Return *draft* with what there is to learn from, which is asked where nothing else holds it."""
        if draft.holds:
            return replace(draft, launch=None)
        learning = facts.learning_facts(draft.action)
        held = hold_learning(learning, min_new=min_new, wanted=self._settings.raters)
        if held is not None:
            return replace(draft, launch=None, holds=(held,))
        return replace(draft, reason=f"{draft.reason}, {learning.new} new {learning.what}")


def hold_live(known: TriggerFacts) -> Hold | None:
    """Say which job of the action is not finished, and whether somebody has to approve it."""
    live = known.live_job
    if live is None:
        return None
    if live.state is JobState.AWAITING_APPROVAL:
        return Hold("approval", f"job {live.job_id} waits for an operator: `jobs approve {live.job_id}`")
    if live.state is JobState.PASSED:
        return Hold("approval", f"job {live.job_id} has passed its gate and waits for its promotion")
    return Hold("job_running", f"job {live.job_id} is {live.state}; one of an action can be live")


def hold_cooldown(rule: TriggerRule, last_started: datetime | None, now: datetime) -> Hold | None:
    until = now if last_started is None else last_started + timedelta(seconds=rule.cooldown_seconds)
    return Hold("cooldown", f"until {told(until)}", until) if now < until else None
