"""When an alarm starts a job, and when the calendar does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.domain.alarm import AlarmState, Severity
from monitor.domain.job import Action, Hold, Job, JobState, Launch
from monitor.errors import InvalidSetting
from monitor.retraining.records import AlarmFact, LearningFacts, RaterFacts, TriggerFacts
from monitor.retraining.schedule import due, parse_cron, plan_refresh
from monitor.retraining.trigger import answer_alarms, decide_trigger, hold_learning
from monitor.settings.retrain import RaterSettings, TriggerRule
from monitor.stats.agreement import Agreement, Turnover

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RULE = TriggerRule(signals=("reward", "refusal"), cooldown_seconds=3600, min_new_pairs=100)
ALARM = AlarmFact(
    alarm_id=7,
    signal="reward",
    severity=Severity.ALERT,
    state=AlarmState.OPEN,
    created_at=NOW - timedelta(minutes=5),
    has_job=False,
    incident_id=3,
    incident_state=AlarmState.OPEN,
)


def decide(rule: TriggerRule = RULE, **changes: Any) -> Launch | Hold:
    facts: dict[str, Any] = {"alarms": [ALARM], "live_job": False, "last_started": None}
    return decide_trigger(rule, **(facts | changes), now=NOW)


def reason(decision: Launch | Hold) -> str:
    assert isinstance(decision, Hold)
    return decision.reason


def test_an_alert_launches_and_waits_for_approval_by_default() -> None:
    assert decide() == Launch(Action.REWARD_REFRESH, alarm_id=7, needs_approval=True)


def test_an_automatic_rule_asks_nobody() -> None:
    decision = decide(RULE.model_copy(update={"approval": "automatic"}))
    assert isinstance(decision, Launch)
    assert not decision.needs_approval


@pytest.mark.parametrize(
    "alarm",
    [
        pytest.param(replace(ALARM, signal="response_length"), id="on another signal"),
        pytest.param(replace(ALARM, severity=Severity.WARNING), id="of less severity"),
        pytest.param(replace(ALARM, state=AlarmState.SUPERSEDED), id="of an older baseline"),
        pytest.param(replace(ALARM, incident_state=AlarmState.SUPERSEDED), id="of an incident of an older baseline"),
    ],
)
def test_an_alarm_that_does_not_count_launches_nothing(alarm: AlarmFact) -> None:
    assert reason(decide(alarms=[alarm])) == "no_alarm"


def test_acknowledging_an_alarm_does_not_answer_it() -> None:
    assert isinstance(decide(alarms=[replace(ALARM, state=AlarmState.ACKNOWLEDGED)]), Launch)


@pytest.mark.parametrize(
    "snoozed",
    [
        pytest.param(replace(ALARM, state=AlarmState.SNOOZED), id="an alarm"),
        pytest.param(replace(ALARM, incident_state=AlarmState.SNOOZED), id="an incident"),
    ],
)
def test_what_somebody_has_snoozed_starts_nothing_and_is_named(snoozed: AlarmFact) -> None:
    assert decide(alarms=[snoozed]) == Hold("incident_snoozed", "incident 3: somebody has snoozed all that counts")


def test_an_alarm_that_has_a_job_is_not_triggered_twice() -> None:
    assert reason(decide(alarms=[replace(ALARM, has_job=True)])) == "alarm_answered"


def test_one_job_answers_every_alarm_raised_before_it() -> None:
    assert reason(decide(last_started=ALARM.created_at + timedelta(seconds=1))) == "alarm_answered"


def test_the_oldest_unanswered_alarm_is_named() -> None:
    older = replace(ALARM, alarm_id=9, created_at=ALARM.created_at - timedelta(minutes=1))
    decision = decide(alarms=[ALARM, older])
    assert isinstance(decision, Launch)
    assert decision.alarm_id == 9


def test_a_live_job_holds() -> None:
    assert reason(decide(live_job=True)) == "job_running"


@pytest.mark.parametrize(("minutes", "held"), [(59, True), (60, False)])
def test_a_later_alarm_waits_out_the_cooldown(minutes: int, held: bool) -> None:
    decision = decide(alarms=[replace(ALARM, created_at=NOW)], last_started=NOW - timedelta(minutes=minutes))
    assert (isinstance(decision, Hold) and decision.reason == "cooldown") is held


NOBODY = RaterFacts()


def learning(pairs_new: int = 100, **raters: Any) -> LearningFacts:
    return LearningFacts(pairs_new, RaterFacts(**raters))


def hold(facts: LearningFacts) -> Hold | None:
    return hold_learning(facts, min_new_pairs=100, wanted=RaterSettings())


def measured(value: float, items: int = 60) -> Agreement:
    return Agreement(value, value - 0.1, value + 0.1, items=items, annotators=4)


def test_too_few_pairs_hold_and_the_numbers_are_named() -> None:
    assert hold(learning(99)) == Hold("too_few_pairs", "99 new preference pairs; wanted 100")


@pytest.mark.parametrize(
    ("raters", "told"),
    [
        pytest.param(
            {"kappa": measured(0.41), "criteria_version": "3"},
            "kappa 0.41 [0.31, 0.51] on 60 pairs by criteria 3; wanted 0.6",
            id="kappa",
        ),
        pytest.param(
            {"kappa": measured(0.8), "raw": measured(0.69)}, "raw agreement 0.69 [0.59, 0.79] on 60 pairs", id="raw"
        ),
    ],
)
def test_annotators_who_do_not_agree_hold_and_the_numbers_are_named(raters: dict[str, Any], told: str) -> None:
    held = hold(learning(**raters))

    assert held is not None
    assert held.reason == "low_agreement"
    assert held.detail.startswith(told)


def test_many_annotators_who_came_or_left_hold_and_the_numbers_are_named() -> None:
    held = hold(learning(turnover=Turnover(joined=0.31, left=0.05, labels=200)))

    assert held is not None
    assert held.reason == "rater_turnover"
    assert held.detail.startswith("31% of 200 preferences of 30 days by annotators who are new, 5% of those")


@pytest.mark.parametrize(
    "raters",
    [
        pytest.param({}, id="nobody judged a pair twice"),
        pytest.param({"kappa": measured(0.1, items=49), "raw": measured(0.2, items=49)}, id="too few pairs to say"),
        pytest.param({"kappa": measured(0.6), "raw": measured(0.7)}, id="just enough agreement"),
        pytest.param({"turnover": Turnover(joined=1.0, left=1.0, labels=49)}, id="too few labels to say"),
        pytest.param({"turnover": Turnover(joined=0.3, left=0.3, labels=500)}, id="as many new ones as may be"),
    ],
)
def test_what_is_not_known_to_be_bad_holds_nothing(raters: dict[str, Any]) -> None:
    assert hold(learning(**raters)) is None


class InMemoryJobs:
    """Facts and starts that agree with each other: a started job is live."""

    def __init__(self, raters: RaterFacts = NOBODY, last_started: datetime | None = None) -> None:
        self.started: list[str] = []
        self.raters = raters
        self.last_started = last_started
        self.asked = 0

    def trigger_facts(self, action: Action) -> TriggerFacts:
        assert action is Action.REWARD_REFRESH
        live = bool(self.started)
        return TriggerFacts((ALARM,), live_job=live, last_started=self.last_started)

    def learning_facts(self, action: Action) -> LearningFacts:
        assert action is Action.REWARD_REFRESH
        self.asked += 1
        return LearningFacts(pairs_new=500, raters=self.raters)

    def launch(self, launch: Launch, *, reason: str, actor: str) -> Job | Hold:
        self.started.append(reason)
        state = JobState.AWAITING_APPROVAL
        return Job(1, launch.action, state, reason, actor, launch.alarm_id, 0, created_at=NOW, updated_at=NOW)


def test_of_two_rules_for_one_action_the_second_finds_the_firsts_job() -> None:
    jobs = InMemoryJobs()
    first, second = answer_alarms([RULE, RULE], facts=jobs, jobs=jobs, wanted=RaterSettings(), now=NOW)
    assert isinstance(first, Launch)
    assert reason(second) == "job_running"
    assert jobs.started == ["incident 3, alarm 7 on reward, 500 new preference pairs"]


def test_a_rule_whose_annotators_do_not_agree_starts_nothing() -> None:
    jobs = InMemoryJobs(RaterFacts(kappa=measured(0.2)))
    (decision,) = answer_alarms([RULE], facts=jobs, jobs=jobs, wanted=RaterSettings(), now=NOW)
    assert reason(decision) == "low_agreement"
    assert not jobs.started


def test_what_takes_long_to_know_is_asked_only_where_a_job_would_start() -> None:
    jobs = InMemoryJobs(last_started=NOW)
    answer_alarms([RULE], facts=jobs, jobs=jobs, wanted=RaterSettings(), now=NOW)
    assert jobs.asked == 0


THREE = datetime(2026, 11, 21, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("last", "now", "expected"),
    [
        pytest.param(THREE - timedelta(hours=1), THREE - timedelta(seconds=1), False, id="a second early"),
        pytest.param(THREE - timedelta(hours=1), THREE, True, id="on time"),
        pytest.param(THREE, THREE + timedelta(hours=1), False, id="already done"),
        pytest.param(THREE - timedelta(days=5), THREE, True, id="after days away"),
    ],
)
def test_a_refresh_at_three_each_night_is_due(last: datetime, now: datetime, expected: bool) -> None:
    assert due("0 3 * * *", last, now) is expected


@pytest.mark.parametrize(
    ("raters", "held"),
    [(RaterFacts(), None), (RaterFacts(turnover=Turnover(joined=0.5, left=0.0, labels=90)), "rater_turnover")],
)
def test_a_refresh_that_is_due_is_held_as_a_rule_is(raters: RaterFacts, held: str | None) -> None:
    def plan(jobs: InMemoryJobs) -> Launch | Hold:
        now = THREE + timedelta(minutes=1)
        return plan_refresh("0 3 * * *", facts=jobs, since=NOW, wanted=RaterSettings(), now=now)

    jobs = InMemoryJobs(raters, last_started=THREE - timedelta(days=1))
    decision = plan(jobs)
    jobs.started.append("by hand")

    expected = Launch(Action.REWARD_REFRESH, None, needs_approval=False)
    assert decision == expected if held is None else reason(decision) == held
    assert reason(plan(jobs)) == "job_running"


def test_a_wrong_crontab_is_named_with_what_was_wanted() -> None:
    with pytest.raises(InvalidSetting, match=r"retrain\.refresh_cron = '61 \* \* \* \*'.*five crontab fields"):
        parse_cron("61 * * * *")
