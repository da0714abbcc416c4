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

    One cause raises alarms in many streams: a job answers all of its incident, later ones too,
    and all that were raised before it was created.
    """
    matching = [
        alarm
        for alarm in alarms
        if alarm.signal in rule.signals
        and _RANK[alarm.severity] >= _RANK[rule.severity]
        and AlarmState.SUPERSEDED not in {alarm.state, alarm.incident_state}
    ]
    if not matching:
        return Hold("no_alarm", f"no {rule.severity} or worse on {', '.join(rule.signals)}")
    awake = [alarm for alarm in matching if AlarmState.SNOOZED not in {alarm.state, alarm.incident_state}]
    if not awake:
        return Hold("incident_snoozed", f"{named_incidents(matching)}: somebody has snoozed all that counts")
    unanswered = [
        alarm
        for alarm in awake
        if not (alarm.has_job or (last_started is not None and alarm.created_at <= last_started))
    ]
    ready_at = last_started + timedelta(seconds=rule.cooldown_seconds) if last_started is not None else now
    holds = [
        (not unanswered, Hold("alarm_answered", f"{named_incidents(awake)}: a {rule.action} job has answered it")),
        (live_job, Hold("job_running", f"a {rule.action} job is not finished")),
        (now < ready_at, Hold("cooldown", f"until {ready_at.isoformat(timespec='seconds')}")),
        (
            pairs_new < rule.min_new_pairs,
            Hold("too_few_pairs", f"{pairs_new} new preference pairs; wanted {rule.min_new_pairs}"),
        ),
    ]
    for applies, hold in holds:
        if applies:
            return hold
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
            alarm = next(alarm for alarm in known.alarms if alarm.alarm_id == decision.alarm_id)
            what = f"alarm {alarm.alarm_id} on {alarm.signal}"
            if alarm.incident_id is not None:
                what = f"incident {alarm.incident_id}, {what}"
            reason = f"{what}, {known.pairs_new} new preference pairs"
            started = jobs.launch(decision, reason=reason, actor="trigger")
            decision = started if isinstance(started, Hold) else decision
        decisions.append(decision)
    return tuple(decisions)


def named_incidents(alarms: Iterable[AlarmFact]) -> str:
    """Return the incidents of *alarms*, for people."""
    numbers = sorted({alarm.incident_id for alarm in alarms if alarm.incident_id is not None})
    return f"incident {', '.join(map(str, numbers))}" if numbers else "alarms without an incident"
