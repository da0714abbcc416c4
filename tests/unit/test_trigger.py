"""Which alarm a rule answers, whose cause it wants, and whether earlier jobs have answered it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alarm import AlarmState, ReferenceVerdict, ScorerVerdict, Severity
from monitor.domain.incident import Cause, Likelihood, LikelyCause, VerdictWait
from monitor.domain.job import Hold, JobState
from monitor.retraining.answer import LONGEST, backoff
from monitor.retraining.cause import NO_VERDICTS, PATIENCE, Verdicts
from monitor.retraining.records import AlarmFact, JobFact, LearningFacts, RaterFacts
from monitor.retraining.trigger import choose_alarm, hold_learning
from monitor.settings.retrain import RaterSettings, TriggerRule
from monitor.stats.agreement import Agreement, Turnover

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
RULE = TriggerRule(signals=("reward", "refusal"))
ALARM = AlarmFact(
    alarm_id=7,
    signal="reward",
    severity=Severity.ALERT,
    state=AlarmState.OPEN,
    created_at=NOW - 5 * MINUTE,
    incident_id=3,
    incident_state=AlarmState.OPEN,
)
OTHERS = replace(ALARM, alarm_id=9, incident_id=4, created_at=NOW)
JOB = JobFact(
    job_id=12,
    state=JobState.FAILED_GATE,
    created_at=NOW - 4 * MINUTE,
    moved_at=NOW - MINUTE,
    alarm_id=7,
    incident_id=3,
)


def choose(
    *alarms: AlarmFact,
    rule: TriggerRule = RULE,
    jobs: tuple[JobFact, ...] = (),
    verdicts: Verdicts = NO_VERDICTS,
    now: datetime = NOW,
) -> AlarmFact | Hold:
    return choose_alarm(rule, alarms or (ALARM,), jobs, verdicts=verdicts, first_backoff=6 * HOUR, now=now)


def held(found: AlarmFact | Hold) -> Hold:
    assert isinstance(found, Hold)
    return found


@pytest.mark.parametrize(
    "alarm",
    [
        pytest.param(replace(ALARM, signal="response_length"), id="on another signal"),
        pytest.param(replace(ALARM, severity=Severity.WARNING), id="of less severity"),
        pytest.param(replace(ALARM, state=AlarmState.SUPERSEDED), id="of an older baseline"),
        pytest.param(replace(ALARM, incident_state=AlarmState.SUPERSEDED), id="of an incident of an older baseline"),
        pytest.param(replace(ALARM, state=AlarmState.RECOVERED), id="that has recovered by itself"),
    ],
)
def test_an_alarm_that_does_not_count_asks_for_nothing(alarm: AlarmFact) -> None:
    assert held(choose(alarm)).reason == "no_alarm"


def test_acknowledging_an_alarm_does_not_answer_it() -> None:
    seen = replace(ALARM, state=AlarmState.ACKNOWLEDGED)
    assert choose(seen) == seen


@pytest.mark.parametrize(
    "snoozed",
    [
        pytest.param(replace(ALARM, state=AlarmState.SNOOZED), id="an alarm"),
        pytest.param(replace(ALARM, incident_state=AlarmState.SNOOZED), id="an incident"),
    ],
)
def test_what_somebody_has_snoozed_starts_nothing_and_is_named(snoozed: AlarmFact) -> None:
    assert choose(snoozed) == Hold("incident_snoozed", "incident 3: somebody has snoozed all that counts")


def test_the_oldest_alarm_that_nothing_holds_is_answered() -> None:
    older = replace(ALARM, alarm_id=8, created_at=ALARM.created_at - MINUTE)
    assert choose(ALARM, older) == older
    assert choose(ALARM, OTHERS, jobs=(JOB,)) == OTHERS


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({}, "backoff", id="a candidate that failed its gate, for a while"),
        pytest.param({"state": JobState.FAILED}, "backoff", id="a job whose attempts all failed, for a while"),
        pytest.param({"state": JobState.ROLLED_BACK}, "backoff", id="one that was rolled back, for a while"),
        pytest.param({"state": JobState.CANCELLED}, "alarm_answered", id="one that somebody cancelled"),
        pytest.param({"state": JobState.PROMOTED, "is_baking": True}, "baking", id="one that bakes"),
        pytest.param({"state": JobState.PROMOTED}, "alarm_answered", id="one that was promoted"),
        pytest.param({"alarm_id": None, "incident_id": None}, "backoff", id="any that was created after the alarm"),
    ],
)
def test_an_alarm_is_answered_by(changes: dict[str, Any], reason: str) -> None:
    assert held(choose(jobs=(replace(JOB, **changes),))).reason == reason


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(replace(JOB, moved_at=NOW - 6 * HOUR), id="a failure that is long enough ago"),
        pytest.param(replace(JOB, state=JobState.RUNNING), id="a job that runs, which is a hold of its own"),
        pytest.param(
            replace(JOB, alarm_id=2, incident_id=1, created_at=ALARM.created_at - HOUR), id="one of an earlier incident"
        ),
    ],
)
def test_an_alarm_is_not_answered_by(job: JobFact) -> None:
    assert choose(jobs=(job,)) == ALARM


@pytest.mark.parametrize(("last_seen", "answered"), [(NOW - 2 * HOUR, True), (NOW, False), (None, True)])
def test_a_promotion_answers_for_good_unless_the_stream_still_comes_after_its_bake(
    last_seen: datetime | None, answered: bool
) -> None:
    promoted = replace(JOB, state=JobState.PROMOTED, moved_at=NOW - 3 * HOUR, baked_at=NOW - HOUR)
    found = choose(replace(ALARM, seen_at=last_seen), jobs=(promoted,))
    assert isinstance(found, Hold) is answered


def test_failures_in_a_row_wait_twice_as_long_each_and_say_until_when() -> None:
    earlier = replace(JOB, job_id=11, state=JobState.FAILED, moved_at=NOW - HOUR)
    wanted = NOW - MINUTE + 12 * HOUR
    detail = "job 12 failed its gate, 2 in a row: the next may start from 2026-11-21T23:59:00+00:00 on"
    assert choose(jobs=(JOB, earlier)) == Hold("backoff", detail, wanted)
    assert held(choose(jobs=(JOB, replace(earlier, state=JobState.CANCELLED), earlier))).until == wanted
    assert held(choose(jobs=(JOB, replace(earlier, state=JobState.PROMOTED), earlier))).until == NOW - MINUTE + 6 * HOUR
    assert choose(jobs=(JOB, earlier), now=wanted) == ALARM


@given(failures=st.integers(1, 10_000), hours=st.floats(0, 10_000))
def test_a_back_off_never_shrinks_and_never_exceeds_a_week(failures: int, hours: float) -> None:
    first = timedelta(hours=hours)
    assert min(first, LONGEST) <= backoff(failures, first=first) <= backoff(failures + 1, first=first) <= LONGEST


def cause(cause: Cause, likelihood: Likelihood) -> LikelyCause:
    return LikelyCause(cause, likelihood, "so it is")


SCORER = cause(Cause.SCORER, Likelihood.SHOWN)
POLICY = cause(Cause.POLICY_MODEL, Likelihood.LIKELY)
SHOWN_POLICY = cause(Cause.POLICY_MODEL, Likelihood.SHOWN)
PROMPTS = cause(Cause.INPUT_SHIFT, Likelihood.LIKELY)
MOVED = cause(Cause.INPUT_SHIFT, Likelihood.POSSIBLE)
SHOWN_PROMPTS = cause(Cause.INPUT_SHIFT, Likelihood.SHOWN)
ANCHORED = Verdicts(VerdictWait(frozenset({"refusal"}), HOUR), frozenset({"reward"}), anchored=True)
REFUSAL = replace(ALARM, signal="refusal")
OLD: dict[str, Any] = {"created_at": NOW - 2 * HOUR}
JUDGED: dict[str, Any] = {"scorer_verdict": ScorerVerdict.POLICY_CHANGED}
ASKED: dict[str, Any] = {"reference_verdict": ReferenceVerdict.POLICY_CHANGED}


@pytest.mark.parametrize(
    ("alarm", "wanted", "reason"),
    [
        pytest.param(replace(ALARM, causes=(SCORER,)), "any", "other_cause", id="the scorer's doing, to any rule"),
        pytest.param(ALARM, "any", "verdict_awaited", id="an anchor set that is not scored yet"),
        pytest.param(replace(ALARM, **OLD), "any", None, id="one that is not scored for long, to any rule"),
        pytest.param(
            replace(REFUSAL, reference_verdict=ReferenceVerdict.ASKING), "any", "verdict_awaited", id="asking again"
        ),
        pytest.param(replace(REFUSAL, causes=(SHOWN_PROMPTS,)), "any", "other_cause", id="an alert of the prompts"),
        pytest.param(replace(REFUSAL, causes=(PROMPTS,)), "any", None, id="likely prompts, to any rule"),
        pytest.param(replace(ALARM, causes=(SCORER, SHOWN_POLICY)), "policy", "other_cause", id="scorer and policy"),
        pytest.param(replace(ALARM, **OLD), "policy", "verdict_awaited", id="no verdict on the scorer, however long"),
        pytest.param(
            replace(ALARM, scorer_verdict=ScorerVerdict.UNDECIDED, **OLD), "policy", "verdict_awaited", id="undecided"
        ),
        pytest.param(replace(ALARM, causes=(SHOWN_POLICY,), **JUDGED), "policy", None, id="a scorer that stands"),
        pytest.param(
            replace(ALARM, causes=(SHOWN_POLICY, PROMPTS), **JUDGED),
            "policy",
            "other_cause",
            id="prompts that explain it though the scorer stands",
        ),
        pytest.param(REFUSAL, "policy", "verdict_awaited", id="not asked yet"),
        pytest.param(replace(REFUSAL, **OLD), "policy", "cause_unknown", id="never asked, and nothing known"),
        pytest.param(replace(REFUSAL, causes=(POLICY,), **OLD), "policy", None, id="never asked, and a new policy"),
        pytest.param(replace(REFUSAL, causes=(POLICY, MOVED), **OLD), "policy", None, id="prompts moved, little told"),
        pytest.param(replace(REFUSAL, causes=(MOVED,), **OLD), "policy", "cause_unknown", id="prompts moved, no more"),
        pytest.param(
            replace(REFUSAL, reference_verdict=ReferenceVerdict.UNDECIDED, causes=(POLICY,), **OLD),
            "policy",
            "verdict_awaited",
            id="asked, and nothing decided",
        ),
        pytest.param(
            replace(REFUSAL, causes=(SHOWN_POLICY, PROMPTS), **ASKED), "policy", None, id="asked: it is the policy"
        ),
        pytest.param(replace(ALARM, causes=(SCORER,)), "scorer", None, id="the scorer, and it is"),
        pytest.param(ALARM, "scorer", "verdict_awaited", id="the scorer, and it is not known"),
        pytest.param(replace(ALARM, **JUDGED), "scorer", "other_cause", id="the scorer, and it stands"),
        pytest.param(REFUSAL, "scorer", "other_cause", id="the scorer, which has no part in it"),
    ],
)
def test_a_rule_waits_for_the_cause_that_it_wants(alarm: AlarmFact, wanted: str, reason: str | None) -> None:
    rule = RULE.model_copy(update={"only_when": wanted})
    found = choose(alarm, rule=rule, verdicts=ANCHORED)
    assert (found.reason if isinstance(found, Hold) else None) == reason


@pytest.mark.parametrize(
    ("wanted", "reason"), [("any", None), ("policy", "cause_unknown"), ("scorer", "cause_unknown")]
)
def test_without_an_anchor_set_nobody_can_tell_the_policy_from_the_scorer(wanted: str, reason: str | None) -> None:
    rule = RULE.model_copy(update={"only_when": wanted})
    found = choose(replace(ALARM, causes=(POLICY,)), rule=rule, verdicts=replace(ANCHORED, anchored=False))
    assert (found.reason if isinstance(found, Hold) else None) == reason


def test_a_warning_is_answered_though_the_prompts_explain_it_where_a_rule_asks_for_warnings() -> None:
    rule = RULE.model_copy(update={"severity": Severity.WARNING})
    alarm = replace(REFUSAL, severity=Severity.WARNING, causes=(SHOWN_PROMPTS,))
    assert choose(alarm, rule=rule) == alarm


def test_of_several_holds_the_one_that_may_end_first_is_told_with_its_end() -> None:
    waiting = replace(OTHERS, created_at=NOW - MINUTE)
    told = held(choose(ALARM, waiting, jobs=(replace(JOB, created_at=NOW - 3 * MINUTE),), verdicts=ANCHORED))
    assert (told.reason, told.until) == ("verdict_awaited", waiting.created_at + PATIENCE)


def learning(new: int = 100, **raters: Any) -> LearningFacts:
    return LearningFacts(new, RaterFacts(**raters))


def hold(facts: LearningFacts) -> Hold | None:
    return hold_learning(facts, min_new=100, wanted=RaterSettings())


def measured(value: float, items: int = 60) -> Agreement:
    return Agreement(value, value - 0.1, value + 0.1, items=items, annotators=4)


def test_too_little_that_is_new_holds_and_the_numbers_are_named() -> None:
    assert hold(learning(99)) == Hold("too_few_pairs", "99 new preference pairs; wanted 100")
    thumbs = LearningFacts(99, RaterFacts(), "answers with a thumb")
    assert hold(thumbs) == Hold("too_few_pairs", "99 new answers with a thumb; wanted 100")


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
    found = hold(learning(**raters))
    assert found is not None
    assert found.reason == "low_agreement"
    assert found.detail.startswith(told)


def test_many_annotators_who_came_or_left_hold_and_the_numbers_are_named() -> None:
    found = hold(learning(turnover=Turnover(joined=0.31, left=0.05, labels=200)))
    assert found is not None
    assert found.reason == "rater_turnover"
    assert found.detail.startswith("31% of 200 preferences of 30 days by annotators who are new, 5% of those")


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
