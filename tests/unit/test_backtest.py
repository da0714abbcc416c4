"""The pipeline over traces in order: the same alarms whatever the blocks, a silent swap and a named one alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.domain.cohort import CohortRule
from monitor.domain.score import Reward
from monitor.errors import InvalidInput
from monitor.pipeline import backtest as module
from monitor.pipeline.backtest import BacktestPlan, backtest
from tests.traces import drifting, trace

PLAN = BacktestPlan(baseline_traces=600, cohorts=CohortRule(("dataset",)))
TRACES = drifting(1200, change=800)


@pytest.mark.parametrize("name", ["phi-2", "phi-2-dpo"], ids=["under the same name", "under a new name"])
def test_a_changed_model_is_found_against_the_same_baseline_whatever_it_is_called(name: str) -> None:
    swapped = TRACES[:800] + [replace(item, policy_model=name) for item in TRACES[800:]]
    alarms = [alarm for alarm in backtest(swapped, PLAN).alarms if alarm.severity == "alert"]
    assert {(alarm.stream.signal, alarm.stream.policy_model) for alarm in alarms} == {
        ("refusal", name),
        ("response_length", name),
    }
    assert [alarm.onset_index for alarm in alarms] == pytest.approx([800] * len(alarms), abs=60)


def test_the_size_of_the_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = backtest(TRACES, PLAN)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert [replace(alarm, evidence_log=0.0) for alarm in backtest(TRACES, PLAN).alarms] == [
        replace(alarm, evidence_log=0.0) for alarm in whole.alarms
    ]


def test_a_burst_of_one_prompt_is_counted_once_and_raises_no_alarm() -> None:
    calm = drifting(1200, change=1200)
    burst = [replace(TRACES[1199], trace_id=f"again-{number}", output_tokens=9000) for number in range(500)]
    result = backtest(calm + burst, PLAN)
    assert (result.traces, result.repeats) == (1700, 500)
    assert result.alarms == ()


def test_rewards_given_beside_the_traces_are_followed() -> None:
    rng = np.random.default_rng(0)
    means = np.concatenate((rng.normal(0, 1, 800), rng.normal(-1, 1, 400)))
    rewards = [Reward("v1", (float(mean), float(mean) + 0.1), float(mean), 0.0, 0.05) for mean in means]
    found = backtest([trace(number) for number in range(1200)], PLAN, rewards).alarms
    alerts = {(alarm.stream.signal, alarm.stream.scorer_version, alarm.direction) for alarm in found}
    assert alerts == {("reward", "v1", "down")}


def test_a_baseline_that_leaves_no_trace_to_watch_is_refused() -> None:
    with pytest.raises(InvalidInput, match="--baseline 600: the files hold 600 good traces"):
        backtest(TRACES[:600], PLAN)
