"""What a corrected refusal model must keep to, check by check."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from monitor.domain.job import Action
from monitor.retraining.gate import judge
from monitor.runs.artifact import Artifact
from monitor.runs.policy import Comparison
from monitor.runs.refusal import AUROC, FALSE, KNOWN, LOG_LOSS, MEASURES, ORDINARY, RECALL, RefusalResult
from monitor.settings.retrain import GateSettings
from monitor.stats.auroc import auroc, auroc_difference


def compared(name: str, champion: float, difference: float, half: float) -> Comparison:
    return Comparison(
        name=name,
        cohort=None,
        items=600,
        candidate=champion + difference,
        champion=champion,
        difference=difference,
        lower=difference - half,
        upper=difference + half,
    )


EQUAL = {
    LOG_LOSS: compared(LOG_LOSS, 0.30, -0.01, 0.05),
    AUROC: compared(AUROC, 0.95, 0.0, 0.02),
    RECALL: compared(RECALL, 0.80, 0.0, 0.10),
    FALSE: compared(FALSE, 0.05, 0.0, 0.10),
    ORDINARY: compared(ORDINARY, 0.002, 0.0, 0.01),
    KNOWN: compared(KNOWN, 0.81, 0.0, 0.01),
}


def result(measured: dict[str, Comparison] = EQUAL, **changes: Any) -> RefusalResult:
    usual = RefusalResult(
        candidate=Artifact("new", "/new", "a" * 64),
        reads_as="learned-new",
        labels=300,
        held_out=100,
        held_out_refusing=40,
        comparisons=tuple(measured.values()),
        champion_auroc_lower=0.9,
        champion_auroc_upper=0.97,
        rescored=None,
        seconds=1.0,
    )
    return replace(usual, **changes)


def failed(found: RefusalResult) -> set[str]:
    verdict = judge(Action.REFUSAL_REFRESH, found, GateSettings())
    names = {check.name for check in verdict.checks if not check.passed}
    assert verdict.passed is not bool(names)
    return names


def test_one_that_is_no_worse_passes_and_every_measure_is_a_check() -> None:
    verdict = judge(Action.REFUSAL_REFRESH, result(), GateSettings())
    assert verdict.passed, [check for check in verdict.checks if not check.passed]
    assert MEASURES.keys() < {check.name for check in verdict.checks}


@pytest.mark.parametrize(
    "worse",
    [
        pytest.param(compared(LOG_LOSS, 0.30, 0.001, 0.01), id="loses more by its middle"),
        pytest.param(compared(LOG_LOSS, 0.30, -0.01, 0.07), id="may lose much more"),
        pytest.param(compared(AUROC, 0.95, -0.03, 0.01), id="tells less apart"),
        pytest.param(compared(RECALL, 0.80, -0.03, 0.10), id="misses held-out refusals"),
        pytest.param(compared(RECALL, 0.80, -0.01, 0.005), id="is shown to miss some"),
        pytest.param(compared(FALSE, 0.05, 0.03, 0.10), id="finds what does not refuse"),
        pytest.param(compared(ORDINARY, 0.002, 0.004, 0.01), id="finds ordinary answers besides"),
        pytest.param(compared(ORDINARY, 0.0075, 0.0027, 0.01), id="finds one ordinary answer in a hundred"),
        pytest.param(compared(KNOWN, 0.81, -0.012, 0.005), id="forgets plain refusals"),
        pytest.param(compared(KNOWN, 0.81, math.nan, 0.005), id="is no number"),
    ],
)
def test_what_is_worse_in_one_way_fails_by_that_check_alone(worse: Comparison) -> None:
    assert failed(result(EQUAL | {worse.name: worse})) == {worse.name}


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_that_is_missing_fails(name: str) -> None:
    assert failed(result({known: one for known, one in EQUAL.items() if known != name})) == {name}


def test_too_few_labels_and_such_that_say_the_opposite_fail() -> None:
    assert failed(result(held_out=39, held_out_refusing=20)) == {"held_out_labels"}
    assert failed(result(held_out_refusing=95)) == {"held_out_of_each"}
    assert failed(result(champion_auroc_lower=0.01, champion_auroc_upper=0.49)) == {"plausible_labels"}


def test_the_difference_of_two_areas_takes_items_in_pairs() -> None:
    rng, missed = np.random.default_rng(3), 0
    for _ in range(300):
        first, second = rng.normal(1.0, 1.0, 40), rng.normal(0.0, 1.0, 60)
        new, old = ((first + rng.normal(0.0, 0.7, 40), second + rng.normal(0.0, 0.7, 60)) for _ in range(2))
        area, before, difference, lower, upper = auroc_difference(new, old)
        alone = auroc(*new)
        assert alone is not None
        assert area == pytest.approx(alone.value)
        assert difference == pytest.approx(area - before)
        assert upper - lower < 1.3 * (alone.upper - alone.lower)
        missed += not lower <= 0.0 <= upper
    assert missed < 30, "the interval is to miss one in twenty"
    assert auroc_difference(old, old)[2:] == (0.0, 0.0, 0.0)
