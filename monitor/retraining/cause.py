"""Whether an alarm names the cause that a rule wants answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.domain.alarm import ReferenceVerdict, ScorerVerdict, Severity
from monitor.domain.incident import NO_WAIT, Cause, Likelihood, VerdictWait
from monitor.domain.job import Hold
from monitor.retraining.records import AlarmFact
from monitor.settings.retrain import TriggerRule

PATIENCE = timedelta(minutes=10)  # that a rule for any cause has with the anchor set's verdict


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Which verdicts on alarms there are to wait for."""

    asked: VerdictWait = NO_WAIT  # by asking the released policy again
    scored: frozenset[str] = frozenset()  # signals that the reward models make: the scorer may be their cause
    anchored: bool = False  # whether an anchor set tells if it is

    def awaits_anchors(self, alarm: AlarmFact) -> bool:
        """Say whether the anchor set may yet tell if *alarm* is the scorer's doing."""
        undecided = alarm.scorer_verdict in {None, ScorerVerdict.UNDECIDED}
        return self.anchored and alarm.signal in self.scored and undecided

    def lacks_anchors(self, alarm: AlarmFact) -> bool:
        """Say whether nothing tells if *alarm* is the scorer's doing."""
        return alarm.signal in self.scored and not self.anchored


NO_VERDICTS = Verdicts()


def hold_cause(rule: TriggerRule, alarm: AlarmFact, verdicts: Verdicts, now: datetime) -> Hold | None:
    """Say why *alarm* does not name the cause that *rule* wants, or not yet.

    Any cause: what has turned out to be the scorer's doing is not answered, since no training mends a scorer that
    changed under its version; nor is an alert that the prompts explain. The policy: neither scorer nor prompts may
    explain it, and something must name the policy. The scorer: the anchor set must say so.
    """
    holds = {"any": _held_from_any, "policy": _held_from_policy, "scorer": _held_from_scorer}[rule.only_when]
    return next(holds(rule, alarm, verdicts, now), None)


def _held_from_any(rule: TriggerRule, alarm: AlarmFact, verdicts: Verdicts, now: datetime) -> Iterator[Hold]:
    yield from _explained(alarm, by=Cause.SCORER, at_least=Likelihood.LIKELY)
    yield from _asked_now(alarm)
    if rule.severity is Severity.ALERT:
        yield from _explained(alarm, by=Cause.INPUT_SHIFT, at_least=Likelihood.SHOWN)
    patient_until = alarm.created_at + PATIENCE
    if verdicts.awaits_anchors(alarm) and now < patient_until:
        yield _anchors_awaited(alarm, patient_until)


def _held_from_policy(rule: TriggerRule, alarm: AlarmFact, verdicts: Verdicts, now: datetime) -> Iterator[Hold]:
    yield from _explained(alarm, by=Cause.SCORER, at_least=Likelihood.LIKELY)
    yield from _explained(alarm, by=Cause.INPUT_SHIFT, at_least=Likelihood.SHOWN)
    yield from _asked_now(alarm)
    if verdicts.lacks_anchors(alarm):
        yield _untold(alarm)
    if verdicts.awaits_anchors(alarm):
        yield _anchors_awaited(alarm)
    told, until = alarm.reference_verdict, alarm.created_at + verdicts.asked.patience
    if told is ReferenceVerdict.UNDECIDED:
        detail = f"asking the released policy again has decided nothing: `alarms reask {alarm.alarm_id}` asks more"
        yield Hold("verdict_awaited", f"{alarm.name}: {detail}")
    if told is None and alarm.signal in verdicts.asked.signals and now < until:
        yield Hold("verdict_awaited", f"{alarm.name}: the released policy was not asked again yet", until)
    if told is not ReferenceVerdict.POLICY_CHANGED:  # which the prompts' share of a change cannot gainsay
        yield from _explained(alarm, by=Cause.INPUT_SHIFT, at_least=Likelihood.LIKELY)
    if all(plea.cause is not Cause.POLICY_MODEL for plea in alarm.causes):
        yield Hold("cause_unknown", f"{alarm.name}: nothing says that it is the policy")


def _held_from_scorer(rule: TriggerRule, alarm: AlarmFact, verdicts: Verdicts, now: datetime) -> Iterator[Hold]:
    if any(plea.cause is Cause.SCORER for plea in alarm.causes):
        return
    if verdicts.awaits_anchors(alarm):
        yield _anchors_awaited(alarm)
    if verdicts.lacks_anchors(alarm):
        yield _untold(alarm)
    yield Hold("other_cause", f"{alarm.name}: the scorer has not changed, or has no part in it")


def _explained(alarm: AlarmFact, *, by: Cause, at_least: Likelihood) -> Iterator[Hold]:
    """Yield what says that the cause is another one."""
    strength = list(Likelihood).index
    for plea in alarm.causes:
        if plea.cause is by and strength(plea.likelihood) <= strength(at_least):
            yield Hold("other_cause", f"{alarm.name}: {plea.likelihood} cause: {by}: {plea.because}")


def _asked_now(alarm: AlarmFact) -> Iterator[Hold]:
    if alarm.reference_verdict is ReferenceVerdict.ASKING:
        yield Hold("verdict_awaited", f"{alarm.name}: the released policy is being asked again")


def _anchors_awaited(alarm: AlarmFact, until: datetime | None = None) -> Hold:
    return Hold("verdict_awaited", f"{alarm.name}: the anchor set has not said whether it is the scorer", until)


def _untold(alarm: AlarmFact) -> Hold:
    return Hold("cause_unknown", f"{alarm.name}: no anchor set tells policy from scorer (rewards.anchor)")
