"""What the gate lets through, and what it says when it does not."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from monitor.domain.job import Action, Check, Verdict
from monitor.retraining.gate import hash_evidence
from monitor.retraining.gate import judge as judge_action
from monitor.runs.artifact import Artifact
from monitor.runs.result import PairMetrics, RewardResult
from monitor.settings.retrain import GateSettings

CHAMPION = PairMetrics(
    pairs=200,
    accuracy=0.70,
    accuracy_lower=0.63,
    accuracy_upper=0.76,
    accuracy_by_cohort={"dataset=a": 0.75, "dataset=b": 0.65},
    pairs_by_cohort={"dataset=a": 100, "dataset=b": 100},
    length_balanced_accuracy=0.66,
    length_balanced_pairs=120,
    accuracy_by_dimension={"helpful": 0.7, "honest": 0.66},
    pairs_by_dimension={"helpful": 90, "honest": 40},
    expected_calibration_error=0.05,
)
RESULT = RewardResult(
    candidate=Artifact("v2", "/models/v2", "00"),
    candidate_metrics=CHAMPION,
    champion_metrics=CHAMPION,
    longer_wins_accuracy=0.55,
    train_pairs=1000,
    held_out_pairs=200,
    rescored=None,
    seconds=10.0,
)


def judge(
    candidate: PairMetrics = CHAMPION, champion: PairMetrics | None = CHAMPION, *, longer_wins: float = 0.55
) -> Verdict:
    result = replace(RESULT, candidate_metrics=candidate, champion_metrics=champion, longer_wins_accuracy=longer_wins)
    return judge_action(Action.REWARD_REFRESH, result, GateSettings())


def changed(field: str, value: object) -> dict[str, Any]:
    return {field: value}


def failures(verdict: Verdict) -> list[str]:
    assert verdict.passed is not any(not check.passed for check in verdict.checks)
    return [check.name for check in verdict.checks if not check.passed]


def check(verdict: Verdict, name: str) -> Check:
    return next(check for check in verdict.checks if check.name == name)


def test_a_candidate_equal_to_the_champion_passes() -> None:
    assert failures(judge()) == []


@pytest.mark.parametrize(("accuracy", "failed"), [(0.68, []), (0.679, ["held_out_accuracy"])])
def test_accuracy_may_fall_to_the_margin_and_no_further(accuracy: float, failed: list[str]) -> None:
    assert failures(judge(replace(CHAMPION, accuracy=accuracy))) == failed


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        pytest.param({"length_balanced_accuracy": 0.60}, "length_balanced_accuracy", id="on length-balanced pairs"),
        pytest.param(
            {"accuracy_by_cohort": {"dataset=a": 0.80, "dataset=b": 0.54}},
            "cohort_accuracy:dataset=b",
            id="in a cohort",
        ),
        pytest.param({"expected_calibration_error": 0.11}, "calibration", id="in calibration"),
        pytest.param({"accuracy_lower": 0.5}, "better_than_chance", id="not shown to beat chance"),
        pytest.param({"pairs": 199}, "same_pairs", id="measured on other pairs"),
        pytest.param(
            {"accuracy_by_dimension": {"helpful": 0.8, "honest": 0.55}},
            "dimension_accuracy:honest",
            id="in a dimension",
        ),
    ],
)
def test_one_failed_check_fails_the_gate(changes: dict[str, Any], failed: str) -> None:
    assert failures(judge(replace(CHAMPION, **changes))) == [failed]


def test_too_few_held_out_pairs_fail_whatever_they_say() -> None:
    few = replace(CHAMPION, pairs=49)
    assert failures(judge(few, few)) == ["held_out_pairs"]


def test_a_small_cohort_is_named_and_not_judged() -> None:
    small = {"dataset=a": 171, "dataset=b": 29}
    worse = replace(CHAMPION, pairs_by_cohort=small, accuracy_by_cohort={"dataset=a": 0.75, "dataset=b": 0.1})
    verdict = judge(worse, replace(CHAMPION, pairs_by_cohort=small))
    assert failures(verdict) == []
    assert check(verdict, "cohort_accuracy:dataset=b").reason.startswith("not judged: 29 held-out pairs")


def test_a_cohort_the_candidate_was_not_measured_on_fails() -> None:
    assert failures(judge(replace(CHAMPION, accuracy_by_cohort={"dataset=a": 0.75}))) == ["cohort_accuracy:dataset=b"]


@pytest.mark.parametrize("field", ["accuracy", "accuracy_lower", "expected_calibration_error", "temperature"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_fails_on_either_side(field: str, value: float) -> None:
    broken = replace(CHAMPION, **changed(field, value))
    assert "finite_numbers" in failures(judge(broken))
    assert "finite_numbers" in failures(judge(CHAMPION, broken))


def test_a_cohorts_nan_is_named() -> None:
    verdict = judge(replace(CHAMPION, accuracy_by_cohort={"dataset=a": math.nan, "dataset=b": 0.65}))
    assert failures(verdict) == ["finite_numbers", "cohort_accuracy:dataset=a"]
    assert "candidate.accuracy_by_cohort[dataset=a]" in check(verdict, "finite_numbers").reason


@pytest.mark.parametrize("champion", [None, CHAMPION], ids=["the first", "a refreshed one"])
@pytest.mark.parametrize(("longer_wins", "failed"), [(0.69, []), (0.70, ["better_than_longer_wins"])])
def test_a_candidate_must_beat_preferring_the_longer_response(
    champion: PairMetrics | None, longer_wins: float, failed: list[str]
) -> None:
    assert failures(judge(champion=champion, longer_wins=longer_wins)) == failed


@pytest.mark.parametrize(
    ("accuracy", "tfidf", "failed"),
    [(0.70, 0.69, []), (0.70, 0.70, ["better_than_tfidf"]), (1.0, 1.0, []), (0.70, None, [])],
    ids=["better", "equal", "nobody can be better", "an older run says nothing"],
)
def test_a_candidate_must_beat_tf_idf(accuracy: float, tfidf: float | None, failed: list[str]) -> None:
    result = replace(RESULT, candidate_metrics=replace(CHAMPION, accuracy=accuracy), tfidf_accuracy=tfidf)
    assert failures(judge_action(Action.REWARD_REFRESH, result, GateSettings())) == failed


@pytest.mark.parametrize(
    ("agreement", "pairs", "failed"),
    [(0.60, 400, []), (0.59, 400, ["anchor_agreement"]), (0.2, 29, []), (None, 0, [])],
    ids=["as wanted", "too low", "too few pairs", "without an anchor"],
)
def test_both_must_rank_the_baselines_answers_alike(agreement: float | None, pairs: int, failed: list[str]) -> None:
    verdict = judge_action(
        Action.REWARD_REFRESH,
        replace(RESULT, anchor_agreement=agreement, anchor_pairs=pairs),
        GateSettings(),
    )
    assert failures(verdict) == failed
    if agreement == 0.59:
        assert check(verdict, "anchor_agreement").reason == (
            "ranks 0.590 of 400 pairs of answers from the baseline's window as the champion does;"
            " at least 0.600 are wanted"
        )


def test_a_dimension_that_few_pairs_were_judged_by_is_named_and_not_judged() -> None:
    few = {"helpful": 90, "honest": 29}
    worse = replace(CHAMPION, pairs_by_dimension=few, accuracy_by_dimension={"helpful": 0.7, "honest": 0.1})
    verdict = judge(worse, replace(CHAMPION, pairs_by_dimension=few))
    assert failures(verdict) == []
    assert check(verdict, "dimension_accuracy:honest").reason.startswith("not judged: 29 held-out pairs")


@pytest.mark.parametrize("field", ["longer_wins_accuracy", "tfidf_accuracy", "anchor_agreement"])
def test_a_number_beside_the_metrics_that_is_none_fails_too(field: str) -> None:
    broken = replace(RESULT, **changed(field, math.nan))
    assert "finite_numbers" in failures(judge_action(Action.REWARD_REFRESH, broken, GateSettings()))


def test_a_reason_states_both_numbers_the_difference_its_interval_and_the_margin() -> None:
    reason = check(judge(replace(CHAMPION, accuracy=0.72)), "held_out_accuracy").reason
    assert reason == (
        "0.720 on 200 pairs, the champion's 0.700: +0.020 (95% within -0.069 to +0.109); it may lose 0.020"
    )
    beside = check(judge(replace(CHAMPION, accuracy=0.72)), "better_than_longer_wins").reason
    assert beside == "accuracy 0.720; more than 0.550 is wanted, as preferring the longer response has 0.550"


def test_the_evidence_hash_is_of_the_content_and_not_of_its_order() -> None:
    turned = replace(CHAMPION, pairs_by_cohort={"dataset=b": 100, "dataset=a": 100})
    assert hash_evidence(replace(RESULT, candidate_metrics=turned)) == hash_evidence(RESULT)
    assert hash_evidence(replace(RESULT, seconds=10.1)) != hash_evidence(RESULT)
