"""Whether an alarm warrants a retraining job now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from monitor.domain.alarm import AlarmState, Severity
from monitor.domain.job import Action, Hold, Job, Launch
from monitor.retraining.records import AlarmFact, TriggerFacts
from monitor.settings.retrain import TriggerRule

_RANK = {Severity.WARNING: 0, Severity.ALERT: 1}


class FactSource(Protocol):
    def trigger_facts(self, action: Action) -> TriggerFacts: ...


class JobStarter(Protocol):
    def launch(self, launch: Launch, *, reason: str, actor: str) -> Job | Hold: ...


def decide_trigger(
    rule: TriggerRule,
    *,
    alarms: Iterable[AlarmFact],
    pairs_new: int,
    live_job: bool,
    last_started: datetime | None,
    now: datetime,
) -> Launch | Hold:
    """Say whether *rule* starts a job now, and for which alarm: the oldest that is not answered.

    One drift raises alarms in many streams at once; a job answers all that were
    raised before it was created, so a later one needs an alarm of its own.
    """
    matching = [
        alarm
        for alarm in alarms
        if alarm.signal in rule.signals
        and _RANK[alarm.severity] >= _RANK[rule.severity]
        and alarm.state is not AlarmState.SUPERSEDED
    ]
    if not matching:
        return Hold("no_alarm", f"no {rule.severity} or worse on {', '.join(rule.signals)}")
    unanswered = [
        alarm
        for alarm in matching
        if not (alarm.has_job or (last_started is not None and alarm.created_at <= last_started))
    ]
    if not unanswered:
        return Hold("alarm_answered", "every alarm that counts already has a job")
    if live_job:
        return Hold("job_running", f"a {rule.action} job is not finished")
    ready_at = last_started + timedelta(seconds=rule.cooldown_seconds) if last_started is not None else now
    if now < ready_at:
        return Hold("cooldown", f"until {ready_at.isoformat(timespec='seconds')}")
    if pairs_new < rule.min_new_pairs:
        return Hold("too_few_pairs", f"{pairs_new} new preference pairs; wanted {rule.min_new_pairs}")
    first = min(unanswered, key=lambda alarm: (alarm.created_at, alarm.alarm_id))
    return Launch(rule.action, first.alarm_id, needs_approval=rule.approval == "manual")


def answer_alarms(
    rules: Sequence[TriggerRule], *, facts: FactSource, jobs: JobStarter, now: datetime
) -> tuple[Launch | Hold, ...]:
    """Decide every rule and start the jobs that follow; return one decision a rule, in order."""
    decisions: list[Launch | Hold] = []
    for rule in rules:
        known = facts.trigger_facts(rule.action)
        decision = decide_trigger(
            rule,
            alarms=known.alarms,
            pairs_new=known.pairs_new,
            live_job=known.live_job,
            last_started=known.last_started,
            now=now,
        )
        if isinstance(decision, Launch):
            signal = next(alarm.signal for alarm in known.alarms if alarm.alarm_id == decision.alarm_id)
            reason = f"alarm {decision.alarm_id} on {signal}, {known.pairs_new} new preference pairs"
            started = jobs.launch(decision, reason=reason, actor="trigger")
            decision = started if isinstance(started, Hold) else decision
        decisions.append(decision)
    return tuple(decisions)
