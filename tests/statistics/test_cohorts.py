"""A change of who asks is no drift; a drift of one cohort is that cohort's."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.domain.cohort import ALL, CohortRule
from monitor.domain.trace import Trace
from monitor.drift.budget import Budget
from monitor.drift.fold import FoldRules
from monitor.observe.step import ObserveRules
from monitor.offline.backtest import BacktestPlan, backtest
from tests.traces import REFUSAL, trace

BASELINE = 2000
WATCHED = 4000
SHORT, LONG = "chat", "essay"
TOKENS = {SHORT: 4.0, LONG: 6.0}  # of the log: a median of 55 and of 400
REFUSALS = {SHORT: 0.02, LONG: 0.10}
WITH_COHORTS, WITHOUT = CohortRule(("dataset",)), CohortRule()


def traffic(seed: int, *, long_before: float, long_after: float, essay_refusals: float = 0.10) -> list[Trace]:
    """Return traces whose share of essays, and whose essays' refusals, change after the baseline."""
    rng = np.random.default_rng(seed)
    after = np.arange(BASELINE + WATCHED) >= BASELINE
    essay = rng.random(len(after)) < np.where(after, long_after, long_before)
    chance = np.where(essay, np.where(after, essay_refusals, REFUSALS[LONG]), REFUSALS[SHORT])
    refused = rng.random(len(after)) < chance
    tokens = rng.lognormal(np.where(essay, TOKENS[LONG], TOKENS[SHORT]), 0.5)
    return [
        trace(
            number,
            cohort={"dataset": LONG if essay[number] else SHORT},
            response=REFUSAL if refused[number] else "An answer.",
            output_tokens=int(tokens[number]),
        )
        for number in range(len(after))
    ]


def alarmed(traces: list[Trace], rule: CohortRule) -> set[tuple[str, str]]:
    plan = BacktestPlan(BASELINE, ObserveRules(rule), FoldRules(Budget(average_run_length=100_000.0)))
    return {
        (alarm.stream.signal, alarm.stream.cohort)
        for alarm in backtest(traces, plan).alarms
        if alarm.severity == "alert"
    }


@pytest.mark.parametrize("seed", range(3))
def test_a_change_of_the_cohorts_mix_alone_is_no_alarm_and_would_be_one_without_cohorts(seed: int) -> None:
    traces = traffic(seed, long_before=0.2, long_after=0.6)
    assert alarmed(traces, WITH_COHORTS) == set()
    assert alarmed(traces, WITHOUT) == {("response_length", ALL), ("refusal", ALL)}


@pytest.mark.parametrize("seed", range(3))
def test_a_drift_of_one_cohort_alarms_in_that_cohort_and_in_the_roll_up_and_nowhere_else(seed: int) -> None:
    traces = traffic(seed, long_before=0.4, long_after=0.4, essay_refusals=0.25)
    assert alarmed(traces, WITH_COHORTS) == {("refusal", f"dataset={LONG}"), ("refusal", ALL)}


def test_traffic_that_stays_as_it_was_raises_no_alarm_in_any_stream() -> None:
    silent = [alarmed(traffic(seed, long_before=0.4, long_after=0.4), WITH_COHORTS) for seed in range(10, 16)]
    assert silent == [set()] * 6


def test_a_cohort_that_the_baseline_never_saw_is_not_bet_on_and_hides_no_drift_of_the_others() -> None:
    known = traffic(5, long_before=0.4, long_after=0.4, essay_refusals=0.25)
    strangers = [trace(100_000 + number, cohort={"dataset": "new"}, response=REFUSAL) for number in range(1000)]
    mixed = known[:BASELINE] + [
        item for pair in zip(known[BASELINE : BASELINE + 1000], strangers, strict=True) for item in pair
    ]
    assert alarmed(mixed, WITH_COHORTS) >= {("refusal", f"dataset={LONG}")}
    assert not any(cohort == "dataset=new" for _, cohort in alarmed(mixed, WITH_COHORTS))
