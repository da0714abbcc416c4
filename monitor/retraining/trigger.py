"""Which alarm a rule answers now, or what holds it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from monitor.domain.alarm import AlarmState
from monitor.domain.incident import RANK
from monitor.domain.job import Hold
from monitor.retraining.answer import hold_answered
from monitor.retraining.cause import Verdicts, hold_cause
from monitor.retraining.records import AlarmFact, JobFact, LearningFacts, RaterFacts
from monitor.settings.retrain import RaterSettings, TriggerRule

# Of several alarms that are held each in its way, the one that may come first is told.
TELLING = ("verdict_awaited", "backoff", "baking", "cause_unknown", "other_cause", "alarm_answered")


def choose_alarm(
    rule: TriggerRule,
    alarms: Iterable[AlarmFact],
    jobs: tuple[JobFact, ...],
    *,
    verdicts: Verdicts,
    first_backoff: timedelta,
    now: datetime,
) -> AlarmFact | Hold:
    """Return the oldest alarm that *rule* has to answer, or why there is none.

    One cause raises alarms in many streams: a job answers all of its incident, later ones too,
    and all that were raised before it was created.
    """
    matching = [
        alarm
        for alarm in alarms
        if alarm.signal in rule.signals
        and RANK[alarm.severity] >= RANK[rule.severity]
        and alarm.state.is_live
        and alarm.incident_state is not AlarmState.SUPERSEDED
    ]
    if not matching:
        return Hold("no_alarm", f"no {rule.severity} or worse on {', '.join(rule.signals)}")
    awake = [alarm for alarm in matching if AlarmState.SNOOZED not in {alarm.state, alarm.incident_state}]
    if not awake:
        return Hold("incident_snoozed", f"{named_incidents(matching)}: somebody has snoozed all that counts")
    holds = []
    for alarm in sorted(awake, key=lambda alarm: (alarm.created_at, alarm.alarm_id)):
        answered = hold_answered(alarm, jobs, first=first_backoff, now=now)
        hold = answered or hold_cause(rule, alarm, verdicts, now)
        if hold is None:
            return alarm
        holds.append(hold)
    return min(holds, key=lambda hold: TELLING.index(hold.reason))


def hold_learning(facts: LearningFacts, *, min_new: int, wanted: RaterSettings) -> Hold | None:
    """Say why what people judged is not to be learnt from now, if it is not."""
    if facts.new < min_new:
        return Hold("too_few_pairs", f"{facts.new} new {facts.what}; wanted {min_new}")
    return hold_raters(facts.raters, wanted)


def hold_raters(raters: RaterFacts, wanted: RaterSettings) -> Hold | None:
    """Say why the annotators' judgements are not to be learnt from, where enough of them are known to say so."""
    version = f" by criteria {raters.criteria_version}" if raters.criteria_version else ""
    for name, found, least in (
        ("kappa", raters.kappa, wanted.min_kappa),
        ("raw agreement", raters.raw, wanted.min_raw),
    ):
        if found is not None and found.items >= wanted.min_items and found.value < least:
            told = f"{name} {found.value:.2f} [{found.lower:.2f}, {found.upper:.2f}] on {found.items} {raters.items}"
            return Hold(
                "low_agreement", f"{told}{version}; wanted {least:g}: do the annotators read the criteria alike?"
            )
    turnover = raters.turnover
    if turnover is not None and turnover.labels >= wanted.min_items and turnover.value > wanted.max_turnover:
        told = f"{turnover.joined:.0%} of {turnover.labels} {raters.labels} of 30 days by annotators who are new"
        left = f"{turnover.left:.0%} of those of the 30 days before by annotators who gave none since"
        return Hold("rater_turnover", f"{told}, {left}; wanted {wanted.max_turnover:.0%} at most")
    return None


def named_incidents(alarms: Iterable[AlarmFact]) -> str:
    """Return the incidents of *alarms*, for people."""
    numbers = sorted({alarm.incident_id for alarm in alarms if alarm.incident_id is not None})
    return f"incident {', '.join(map(str, numbers))}" if numbers else "alarms without an incident"
