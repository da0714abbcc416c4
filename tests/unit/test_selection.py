"""Traces are drawn for judgement before anybody has seen a label of them, and the log tells how."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from monitor.domain.label import PREFERENCE, REFUSAL
from monitor.domain.review import Reason, Selection, SelectionPlan, draw, drawing_key
from monitor.domain.score import Reward
from monitor.observe.gather import ObservedTrace, gather
from monitor.observe.selection import SelectionRule
from tests.traces import trace

KEY = drawing_key("secret")
PLAN = SelectionPlan(kinds=(PREFERENCE, REFUSAL), least=0.1, disputed=0.5, disagreement_above=1.0)


def rule(plan: SelectionPlan = PLAN, **changes: object) -> SelectionRule:
    return SelectionRule(KEY, plan=lambda: plan, **changes)  # type: ignore[arg-type]


def reward(disagreement: float) -> Reward:
    return Reward("v1", (0.0, 1.0), 0.5, 0.0, disagreement)


def selected(
    count: int, disagreement: float = 0.0, by: SelectionRule | None = None, first: int = 0
) -> list[tuple[Selection, ...]]:
    traces = [trace(first + number, reference_response="The other.") for number in range(count)]
    return (by or rule()).select(traces, [False] * count, [reward(disagreement)] * count)


def test_draws_are_uniform_the_same_every_time_and_others_under_another_key() -> None:
    drawn = np.array([draw(KEY, "selected", PREFERENCE, f"t-{number}") for number in range(4000)])
    assert np.histogram(drawn, bins=4, range=(0, 1))[0] == pytest.approx([1000] * 4, abs=110)
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    assert draw(KEY, "a", "b") == draw(KEY, "a", "b") != draw(drawing_key("another"), "a", "b")


@pytest.mark.parametrize(("disagreement", "probability"), [(0.5, 0.1), (1.0, 0.1), (1.5, 0.5)])
def test_a_disputed_trace_is_drawn_more_often_and_its_probability_is_kept(
    disagreement: float, probability: float
) -> None:
    drawn = [kinds[0] for kinds in selected(2000, disagreement)]
    assert {item.probability for item in drawn} == {probability}
    assert {item.least for item in drawn} == {0.1}
    assert sum(item.selected for item in drawn) == pytest.approx(2000 * probability, abs=110)
    assert {item.reason for item in drawn} == {Reason.DISAGREEMENT if probability > 0.1 else Reason.FLOOR}


def test_a_preference_wants_two_answers_a_refusal_one_and_a_repeat_is_never_drawn() -> None:
    traces = [
        trace(0, reference_response="The other."),
        trace(1),
        trace(2, response=None, error="timeout", reference_response="The other."),
        trace(3, reference_response="The other."),
        trace(4, reference_response="The other.", truncated=True),
        trace(5, response=None, tool_calls=1),
    ]
    kinds = rule().select(traces, [False, False, False, True, False, False], [None] * 6)
    assert [[item.kind for item in of_trace] for of_trace in kinds] == [
        [PREFERENCE, REFUSAL],
        [REFUSAL],
        [],
        [],
        [],
        [],
    ]


def test_what_could_be_preferred_is_logged_where_nothing_is_asked_for() -> None:
    (of_trace,) = SelectionRule().select([trace(0, reference_response="The other.")], [False], [None])
    assert of_trace == (Selection(PREFERENCE, 0.0, 0.0, selected=False),)


def test_a_share_of_the_items_wants_several_annotators() -> None:
    several = rule(SelectionPlan(least=1.0), overlap=3, overlap_ratio=0.25)
    wanted = [kinds[0].wanted for kinds in selected(2000, by=several)]
    assert set(wanted) == {1, 3}
    assert wanted.count(3) == pytest.approx(500, abs=90)


def test_the_log_holds_each_draw_with_its_probability_and_the_gap_in_length() -> None:
    one = trace(0, response="one two three", reference_response="one")
    drawn = Selection(PREFERENCE, 0.5, 0.1, selected=True), Selection(REFUSAL, 0.1, 0.1, selected=False)
    items = [ObservedTrace(trace(1), "a", False), ObservedTrace(one, "b", False, reward(2.0), drawn)]
    batches = {batch.series.signal: batch for batch in gather(items).observations}
    preference, refusal, gap = (batches[name] for name in ("selected_preference", "selected_refusal", "length_gap"))
    assert (preference.values.tolist(), preference.places.tolist()) == ([1.0], [1])
    assert preference.inclusion is not None
    assert refusal.inclusion is not None
    assert (preference.inclusion.tolist(), refusal.inclusion.tolist()) == ([0.5], [0.1])
    assert (refusal.values.tolist(), preference.series.scorer_version) == ([0.0], "0.1")
    assert gap.values.tolist() == [log(4 / 2)]
    assert (gap.inclusion, batches["error"].inclusion) == (None, None)
