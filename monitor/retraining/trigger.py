"""Whether an alarm warrants a retraining job now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from monitor.domain.alarm import AlarmState, Severity
from monitor.domain.job import Action, Hold, Job, Launch
from monitor.retraining.records import AlarmFact, LearningFacts, RaterFacts, TriggerFacts
from monitor.settings.retrain import RaterSettings, TriggerRule

_RANK = {Severity.WARNING: 0, Severity.ALERT: 1}


class FactSource(Protocol):
    def trigger_facts(self, action: Action) -> TriggerFacts: ...

    def learning_facts(self, action: Action) -> LearningFacts:
        """Return what is asked for only where something else would start a job: it takes longer to know."""
        ...


class JobStarter(Protocol):
    def launch(self, launch: Launch, *, reason: str, actor: str) -> Job | Hold: ...


def decide_trigger(
    rule: TriggerRule,
    *,
    alarms: Iterable[AlarmFact],
    live_job: bool,
    last_started: datetime | None,
    now: datetime,
) -> Launch | Hold:
    """Say whether *rule* wants a job now, and for which alarm: the oldest that is not answered.

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
    ]
    for applies, hold in holds:
        if applies:
            return hold
    first = min(unanswered, key=lambda alarm: (alarm.created_at, alarm.alarm_id))
    return Launch(rule.action, first.alarm_id, needs_approval=rule.approval == "manual")


def hold_learning(facts: LearningFacts, *, min_new_pairs: int, wanted: RaterSettings) -> Hold | None:
    """Say why what people judged is not to be learnt from now, if it is not."""
    if facts.pairs_new < min_new_pairs:
        return Hold("too_few_pairs", f"{facts.pairs_new} new preference pairs; wanted {min_new_pairs}")
    return hold_raters(facts.raters, wanted)


def hold_raters(raters: RaterFacts, wanted: RaterSettings) -> Hold | None:
    """Say why the annotators' judgements are not to be learnt from, where enough of them are known to say so."""
    version = f" by criteria {raters.criteria_version}" if raters.criteria_version else ""
    for name, found, least in (
        ("kappa", raters.kappa, wanted.min_kappa),
        ("raw agreement", raters.raw, wanted.min_raw),
    ):
        if found is not None and found.items >= wanted.min_items and found.value < least:
            told = f"{name} {found.value:.2f} [{found.lower:.2f}, {found.upper:.2f}] on {found.items} pairs{version}"
            return Hold("low_agreement", f"{told}; wanted {least:g}: do the annotators read the criteria alike?")
    turnover = raters.turnover
    if turnover is not None and turnover.labels >= wanted.min_items and turnover.value > wanted.max_turnover:
        told = f"{turnover.joined:.0%} of {turnover.labels} preferences of 30 days by annotators who are new"
        left = f"{turnover.left:.0%} of those of the 30 days before by annotators who gave none since"
        return Hold("rater_turnover", f"{told}, {left}; wanted {wanted.max_turnover:.0%} at most")
    return None


def plan_start(
    rule: TriggerRule, *, facts: FactSource, wanted: RaterSettings, now: datetime
) -> tuple[Launch | Hold, str]:
    """Decide *rule*; return the decision, and of a launch the reason that its job is given."""
    known = facts.trigger_facts(rule.action)
    decision = decide_trigger(
        rule, alarms=known.alarms, live_job=known.live_job, last_started=known.last_started, now=now
    )
    if isinstance(decision, Hold):
        return decision, ""
    learning = facts.learning_facts(rule.action)
    held = hold_learning(learning, min_new_pairs=rule.min_new_pairs, wanted=wanted)
    if held is not None:
        return held, ""
    alarm = next(alarm for alarm in known.alarms if alarm.alarm_id == decision.alarm_id)
    what = f"alarm {alarm.alarm_id} on {alarm.signal}"
    if alarm.incident_id is not None:
        what = f"incident {alarm.incident_id}, {what}"
    return decision, f"{what}, {learning.pairs_new} new preference pairs"


def answer_alarms(
    rules: Sequence[TriggerRule], *, facts: FactSource, jobs: JobStarter, wanted: RaterSettings, now: datetime
) -> tuple[Launch | Hold, ...]:
    """Decide every rule and start the jobs that follow; return one decision a rule, in order."""
    decisions: list[Launch | Hold] = []
    for rule in rules:
        decision, reason = plan_start(rule, facts=facts, wanted=wanted, now=now)
        if isinstance(decision, Launch):
            started = jobs.launch(decision, reason=reason, actor="trigger")
            decision = started if isinstance(started, Hold) else decision
        decisions.append(decision)
    return tuple(decisions)


def named_incidents(alarms: Iterable[AlarmFact]) -> str:
    """Return the incidents of *alarms*, for people."""
    numbers = sorted({alarm.incident_id for alarm in alarms if alarm.incident_id is not None})
    return f"incident {', '.join(map(str, numbers))}" if numbers else "alarms without an incident"
