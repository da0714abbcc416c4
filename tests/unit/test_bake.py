"""What counts against a promoted version, and where its bake window stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor.domain.alarm import (
    Alarm,
    AlarmKind,
    AlarmState,
    Direction,
    ReferenceVerdict,
    ScorerVerdict,
    Severity,
    StoredAlarm,
)
from monitor.domain.incident import VerdictWait
from monitor.domain.release import Bake, BakeState
from monitor.domain.stream import StreamKey
from monitor.retraining.bake import BakeRules, blames, decide_bake

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RULES = BakeRules(max_hours=72.0, mode="automatic", severity=Severity.ALERT)
POLICY = Bake(1, "policy", "v2", "policy-v2", BakeState.BAKING, NOW - timedelta(hours=1), 500, 1000, 10)
REWARD = replace(POLICY, role="reward", observed_as="v2")


def alarm(
    signal: str = "response_length",
    direction: Direction | None = Direction.UP,
    *,
    policy: str = "policy-v2",
    scorer: str = "1",
    place: int = 600,
    severity: Severity = Severity.ALERT,
    kind: AlarmKind = AlarmKind.DRIFT,
    state: AlarmState = AlarmState.OPEN,
    number: int = 7,
    **told: object,
) -> StoredAlarm:
    found = Alarm(
        stream=StreamKey(signal, "*", policy, scorer),
        direction=direction,
        severity=severity,
        place=place,
        trace_id=None,
        timestamp=NOW,
        onset_place=place,
        onset_timestamp=NOW,
        observations=100,
        evidence_log=1.0,
        effect=None,
        kind=kind,
    )
    return replace(StoredAlarm(number, state, found, NOW - timedelta(minutes=1)), **told)  # type: ignore[arg-type]


def test_without_an_alarm_it_goes_on_until_enough_traces_were_seen() -> None:
    assert decide_bake(POLICY, [], RULES, NOW).state is BakeState.BAKING
    passed = decide_bake(replace(POLICY, traces_seen=1000), [], RULES, NOW)
    assert (passed.state, passed.reason) == (BakeState.PASSED, "1000 traces of v2 without an alarm")


def test_an_alarm_comes_before_the_number_of_traces() -> None:
    decision = decide_bake(replace(POLICY, traces_seen=1000), [alarm()], RULES, NOW)
    assert (decision.state, decision.alarm_id) == (BakeState.ROLLED_BACK, 7)
    assert decision.reason == "alert 7: response_length up in *, within 1000 traces of v2"


def test_the_first_alarm_that_counts_is_the_reason() -> None:
    found = [alarm(number=9), alarm("reward", number=3), alarm("refusal", number=5)]
    assert decide_bake(POLICY, found, RULES, NOW).alarm_id == 5, "a reward that rises is no reason"


def test_it_asks_where_it_is_told_to_and_then_stands_still() -> None:
    asks = decide_bake(POLICY, [alarm()], replace(RULES, mode="ask"), NOW)
    assert asks.state is BakeState.ASKS
    later = replace(POLICY, state=BakeState.ASKS, reason=asks.reason, alarm_id=7, traces_seen=5000)
    assert decide_bake(later, [], RULES, NOW) == asks


def test_too_few_traces_in_time_are_told_and_late_ones_still_count() -> None:
    late = NOW + timedelta(hours=72)
    unseen = decide_bake(POLICY, [], RULES, late)
    assert unseen.state is BakeState.UNSEEN
    assert unseen.reason == "10 of 1000 traces of policy-v2 came in 72 hours: is it served?"
    waiting = replace(POLICY, state=BakeState.UNSEEN)
    assert decide_bake(waiting, [], RULES, late).state is BakeState.UNSEEN
    assert decide_bake(replace(waiting, traces_seen=1000), [], RULES, late).state is BakeState.PASSED
    assert decide_bake(waiting, [alarm()], RULES, late).state is BakeState.ROLLED_BACK


@pytest.mark.parametrize(
    "found",
    [
        alarm(policy="chat-1"),
        alarm(place=499),
        alarm(severity=Severity.WARNING),
        alarm(state=AlarmState.RECOVERED),
        alarm(state=AlarmState.SUPERSEDED),
        alarm(kind=AlarmKind.NO_DATA, direction=None),
        alarm("input_shift", kind=AlarmKind.INPUT_SHIFT),
        alarm("reward", Direction.UP),
        alarm("negative_feedback", Direction.DOWN),
        alarm("sycophancy", Direction.DOWN),
        alarm(reference_verdict=ReferenceVerdict.TRAFFIC_CHANGED),
        alarm("reward", Direction.DOWN, scorer_verdict=ScorerVerdict.SCORER_CHANGED),
    ],
)
def test_what_does_not_count_against_a_policy(found: StoredAlarm) -> None:
    assert not blames(found, POLICY, RULES)


@pytest.mark.parametrize(
    "found",
    [
        alarm(state=AlarmState.ACKNOWLEDGED),
        alarm("refusal", Direction.DOWN),
        alarm("reward", Direction.DOWN, scorer_verdict=ScorerVerdict.POLICY_CHANGED),
        alarm("win_rate", Direction.DOWN),
        alarm("sycophancy", Direction.UP),
        alarm("disagreement", Direction.UP),
        alarm(reference_verdict=ReferenceVerdict.POLICY_CHANGED),
        alarm(reference_verdict=ReferenceVerdict.UNDECIDED),
    ],
)
def test_what_counts_against_a_policy(found: StoredAlarm) -> None:
    assert blames(found, POLICY, RULES)


def test_of_an_ensemble_what_it_scores_counts_either_way_and_the_policy_s_doing_does_not() -> None:
    assert blames(alarm("reward", Direction.UP, policy="chat-1", scorer="v2"), REWARD, RULES)
    changed = alarm("anchor_reward", policy="anchor", scorer="v2", scorer_verdict=ScorerVerdict.SCORER_CHANGED)
    assert blames(changed, REWARD, RULES)
    assert blames(alarm("reward", None, policy="*", scorer="v2", kind=AlarmKind.SCORER_SILENT), REWARD, RULES), (
        "traces come, and their scores do not"
    )
    assert not blames(alarm("reward", scorer="v1"), REWARD, RULES)
    assert not blames(alarm("reward", scorer="v2", scorer_verdict=ScorerVerdict.POLICY_CHANGED), REWARD, RULES)


def test_what_the_version_before_had_already_takes_nothing_back() -> None:
    length, elsewhere = alarm(), alarm(policy="chat-1", place=400, number=2)
    assert decide_bake(POLICY, [length], RULES, NOW, former=[elsewhere]).state is BakeState.BAKING
    other_way = alarm(direction=Direction.DOWN, policy="chat-1", place=400, number=2)
    assert decide_bake(POLICY, [length], RULES, NOW, former=[other_way]).state is BakeState.ROLLED_BACK
    silent = alarm("reward", None, policy="*", scorer="v2", kind=AlarmKind.SCORER_SILENT)
    before = alarm("reward", None, policy="*", scorer="v1", kind=AlarmKind.SCORER_SILENT, place=400)
    assert decide_bake(REWARD, [silent], RULES, NOW, former=[before]).state is BakeState.ROLLED_BACK


def test_a_warning_counts_where_the_settings_say_so() -> None:
    assert blames(alarm(severity=Severity.WARNING), POLICY, replace(RULES, severity=Severity.WARNING))


def test_nothing_is_decided_while_the_cause_may_still_be_told() -> None:
    enough = replace(POLICY, traces_seen=1000)
    asking = alarm(reference_verdict=ReferenceVerdict.ASKING)
    assert decide_bake(enough, [asking], RULES, NOW).state is BakeState.BAKING
    waiting = replace(RULES, reference_wait=VerdictWait(frozenset({"response_length"}), timedelta(minutes=5)))
    assert decide_bake(enough, [alarm()], waiting, NOW).state is BakeState.BAKING
    assert decide_bake(enough, [alarm()], waiting, NOW + timedelta(minutes=5)).state is BakeState.ROLLED_BACK
    anchored = replace(RULES, scorer_wait=timedelta(hours=1))
    reward = alarm("reward", policy="chat-1", scorer="v2", scorer_verdict=ScorerVerdict.UNDECIDED)
    baking = replace(REWARD, traces_seen=1000)
    assert decide_bake(baking, [reward], anchored, NOW).state is BakeState.BAKING
    assert decide_bake(baking, [reward], anchored, NOW + timedelta(hours=1)).state is BakeState.ROLLED_BACK
    shown = replace(reward, scorer_verdict=ScorerVerdict.SCORER_CHANGED)
    assert decide_bake(baking, [shown], anchored, NOW).state is BakeState.ROLLED_BACK
