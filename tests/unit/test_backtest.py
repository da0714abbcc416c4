"""The pipeline over traces in order: the same alarms whatever the blocks, a silent swap and a named one alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from monitor.domain.alarm import Direction, Severity
from monitor.domain.cohort import CohortRule
from monitor.domain.score import Reward
from monitor.errors import InvalidInput
from monitor.observe.step import ObserveRules
from monitor.offline import backtest as module
from monitor.offline.backtest import BacktestPlan, backtest
from tests.traces import GivenRewards, drifting, trace

PLAN = BacktestPlan(600, ObserveRules(CohortRule(("dataset",))))
TRACES = drifting(1200, change=800)


@pytest.mark.parametrize("name", ["phi-2", "phi-2-dpo"], ids=["under the same name", "under a new name"])
def test_a_changed_model_is_found_against_the_same_baseline_whatever_it_is_called(name: str) -> None:
    swapped = TRACES[:800] + [structs.replace(item, policy_model=name) for item in TRACES[800:]]
    result = backtest(swapped, PLAN)
    alarms = [alarm for alarm in result.alarms if alarm.severity == "alert"]
    assert {(alarm.stream.signal, alarm.stream.policy_model) for alarm in alarms} == {
        ("refusal", name),
        ("response_length", name),
    }
    assert [alarm.onset_place for alarm in alarms] == pytest.approx([800] * len(alarms), abs=60)
    [incident] = result.incidents
    assert incident.pages
    assert incident.causes[0].cause == "policy_model"  # a new name says so, and so do the prompts, that are as before


def test_the_size_of_the_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = backtest(TRACES, PLAN)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert [replace(alarm, evidence_log=0.0) for alarm in backtest(TRACES, PLAN).alarms] == [
        replace(alarm, evidence_log=0.0) for alarm in whole.alarms
    ]


def test_a_burst_of_one_prompt_is_counted_once_and_raises_no_alarm() -> None:
    calm = drifting(1200, change=1200)
    burst = [structs.replace(TRACES[1199], trace_id=f"again-{number}", output_tokens=9000) for number in range(500)]
    result = backtest(calm + burst, PLAN)
    assert (result.traces, result.repeats) == (1700, 500)
    assert result.alarms == ()


def test_rewards_given_beside_the_traces_are_followed() -> None:
    rng = np.random.default_rng(0)
    means = np.concatenate((rng.normal(0, 1, 800), rng.normal(-1, 1, 400)))
    rewards = [Reward("v1", (float(mean), float(mean) + 0.1), float(mean), 0.0, 0.05) for mean in means]
    found = backtest([trace(number) for number in range(1200)], PLAN, lambda: GivenRewards(rewards)).alarms
    alerts = {(alarm.stream.signal, alarm.stream.scorer_version, alarm.direction) for alarm in found}
    assert alerts == {("reward", "v1", "down")}


def test_a_baseline_that_leaves_no_trace_to_watch_is_refused() -> None:
    with pytest.raises(InvalidInput, match="--baseline 600: the files hold 600 good traces"):
        backtest(TRACES[:600], PLAN)


def rewards_of(values: NDArray[np.float64]) -> list[Reward | None]:
    return [Reward("v1", (float(value),), float(value), float(value), 0.0) for value in values]


@pytest.mark.parametrize("tail", [False, True], ids=["all of them", "a twentieth of them"])
def test_rewards_that_fall_are_told_as_a_fall_in_the_unit_that_decided(tail: bool) -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=3000)
    values[1500:] += np.where(rng.random(1500) < 0.05, -8.0, 0.05) if tail else -0.6
    traces, model = [trace(number) for number in range(3000)], GivenRewards(rewards_of(values))
    found = [
        alarm
        for alarm in backtest(traces, BacktestPlan(1500), lambda: model).alarms
        if alarm.stream.signal == "reward" and alarm.severity is Severity.ALERT
    ]
    assert [alarm.direction for alarm in found] == [Direction.DOWN]
    assert found[0].effect is not None
    assert found[0].effect.unit == ("share above q1" if tail else "percentiles")
    assert found[0].effect.estimate < -0.05
