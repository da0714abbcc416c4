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


@pytest.mark.parametrize(("longer_wins", "failed"), [(0.69, []), (0.70, ["held_out_accuracy"])])
def test_a_first_champion_must_beat_preferring_the_longer_response(longer_wins: float, failed: list[str]) -> None:
    assert failures(judge(champion=None, longer_wins=longer_wins)) == failed


def test_a_reason_states_both_numbers_the_difference_its_interval_and_the_margin() -> None:
    reason = check(judge(replace(CHAMPION, accuracy=0.72)), "held_out_accuracy").reason
    assert reason == (
        "0.720 on 200 pairs, the champion's 0.700: +0.020 (95% within -0.069 to +0.109); it may lose 0.020"
        "; the longer response wins 0.550"
    )


def test_the_evidence_hash_is_of_the_content_and_not_of_its_order() -> None:
    turned = replace(CHAMPION, pairs_by_cohort={"dataset=b": 100, "dataset=a": 100})
    assert hash_evidence(replace(RESULT, candidate_metrics=turned)) == hash_evidence(RESULT)
    assert hash_evidence(replace(RESULT, seconds=10.1)) != hash_evidence(RESULT)
