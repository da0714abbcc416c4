"""From settled blocks to estimates: whom a row is about, which days it holds, and what it says with few labels."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from monitor.labels.estimate import (
    DaySums,
    Estimate,
    EstimateRule,
    LabelItem,
    LengthEffect,
    Span,
    estimate_spans,
    usual_spans,
)
from tests.settled import evidence

LAST = datetime(2026, 11, 21, 12, tzinfo=UTC)
TODAY = LAST.date()
WEEK = Span("week", TODAY - timedelta(days=6), TODAY + timedelta(days=1))
RULE = EstimateRule()


def estimated(
    items: list[LabelItem], sums: list[DaySums], span: Span = WEEK, effect: LengthEffect | None = None
) -> dict[tuple[str, str, str], Estimate]:
    rows = estimate_spans(items, sums, [span], rule=RULE, length_effect=effect)
    return {(row.signal, row.cohort, row.policy_model): row for row in rows}


def test_each_cohort_and_all_of_them_have_a_row_of_each_policy_model_with_its_own_traces_and_labels() -> None:
    koala, sums_of_koala = evidence(cohort="koala", until=LAST)
    vicuna, sums_of_vicuna = evidence(cohort="vicuna", until=LAST, seed=1)
    items = koala + vicuna + [replace(item, policy_model="chat-3") for item in koala]
    sums = sums_of_koala + sums_of_vicuna + [replace(row, policy_model="chat-3") for row in sums_of_koala]
    rows = estimate_spans(items, sums, [WEEK], rule=RULE)
    assert [(row.policy_model, row.cohort) for row in rows] == [
        ("chat-2", "*"), ("chat-2", "koala"), ("chat-2", "vicuna"), ("chat-3", "*"), ("chat-3", "koala"),
    ]  # fmt: skip
    assert [row.traces for row in rows] == [4200, 2100, 2100, 2100, 2100]
    assert rows[0].labels == rows[1].labels + rows[2].labels
    for row in rows:
        assert row.estimate is not None
        assert row.bounds is not None
        assert row.anytime is not None
        assert row.classical is not None
        assert row.anytime.lower < row.bounds.lower < row.estimate < row.bounds.upper < row.anytime.upper
        assert row.bounds.upper - row.bounds.lower < row.classical.upper - row.classical.lower
        assert row.effective_labels is not None
        assert row.effective_labels > row.labels
        assert row.reason is None


def test_the_truth_of_all_traces_lies_within_and_not_that_of_the_reward_models() -> None:
    inside = 0
    for seed in range(40):
        items, sums = evidence(rate=0.25, days=7, until=LAST, seed=seed)
        row = estimated(items, sums)["win_rate", "*", "chat-2"]
        assert row.bounds is not None
        inside += row.bounds.lower <= 0.25 <= row.bounds.upper
        assert row.opinion is not None
        assert row.opinion == pytest.approx(sum(day.cheap_sum for day in sums) / row.traces)
        assert not row.bounds.lower <= row.opinion <= row.bounds.upper
    assert inside >= 36


def test_a_day_counts_where_its_span_holds_it_and_a_span_without_traces_has_no_row() -> None:
    items, sums = evidence(days=10, until=LAST)
    day = estimated(items, sums, Span("day", TODAY, TODAY + timedelta(days=1)))["win_rate", "*", "chat-2"]
    assert (day.traces, day.labels) == (300, sum(item.timestamp.date() == TODAY for item in items))
    assert estimated(items, sums, Span("day", TODAY + timedelta(days=1), TODAY + timedelta(days=2))) == {}


def test_with_too_few_labels_no_number_is_invented_and_the_reason_says_how_many_are_wanted() -> None:
    items, sums = evidence(days=7, until=LAST)
    items = [replace(item, value=None) if number >= 29 else item for number, item in enumerate(items)]
    row = estimated(items, sums, effect=LengthEffect(0.2, 0.5))["win_rate", "*", "chat-2"]
    assert (row.labels, row.missing) == (29, len(items) - 29)
    assert (row.estimate, row.bounds, row.anytime, row.classical, row.labels_to_halve) == (None,) * 5
    assert row.reason == "29 labels; an estimate takes at least 30"
    assert row.opinion is not None  # which needs no label


def test_labels_by_other_criteria_make_rows_of_their_own() -> None:
    items, sums = evidence(days=7, until=LAST)
    later = (
        [replace(item, criteria_version="c-2") for item in items],
        [replace(row, criteria_version="c-2") for row in sums],
    )
    rows = estimate_spans(items + later[0], sums + later[1], [WEEK], rule=RULE)
    assert [(row.criteria_version, row.cohort, row.labels) for row in rows] == [
        (version, cohort, len(items)) for version in ("c-1", "c-2") for cohort in ("*", "dataset=koala")
    ]


def test_traces_without_an_opinion_are_estimated_from_their_labels_alone() -> None:
    items, sums = evidence(days=7, until=LAST)
    blind = [replace(item, cheap=None, scorer_version="") for item in items]
    row = estimated(blind, [replace(day, scorer_version="") for day in sums])["win_rate", "*", "chat-2"]
    assert row.bounds is not None
    assert row.opinion is None
    assert row.classical == row.bounds
    assert row.effective_labels == pytest.approx(row.labels)


def test_the_opinion_s_own_rate_is_of_the_traces_that_have_one() -> None:
    items, sums = evidence(days=2, until=LAST)
    blind, told = sums[0], [replace(day, cheap_sum=0.8 * day.items) for day in sums[1:]]
    row = estimated(items, [replace(blind, scorer_version="", cheap_sum=0.5 * blind.items), *told])
    assert row["win_rate", "*", "chat-2"].opinion == pytest.approx(0.8)


def test_the_length_controlled_form_is_less_what_the_answers_length_makes_of_it() -> None:
    items, sums = evidence(days=7, until=LAST)
    longer = [replace(day, gap_sum=0.3 * day.items) for day in sums]
    rows = estimated(items, longer, effect=LengthEffect(0.2, 0.5))
    raw, controlled = (rows[name, "*", "chat-2"] for name in ("win_rate", "win_rate_lc"))
    assert raw.estimate is not None
    assert raw.bounds is not None
    assert controlled.estimate == pytest.approx(raw.estimate - 0.06)
    assert controlled.bounds is not None
    moved = controlled.bounds.lower - raw.bounds.lower, controlled.bounds.upper - raw.bounds.upper
    assert moved == pytest.approx((-0.06, -0.06))


def test_the_usual_spans_are_the_day_seven_of_them_and_all_since_the_release() -> None:
    _, sums = evidence(days=30, until=LAST)
    spans = {span.name: (span.start, span.stop) for span in usual_spans(sums, TODAY)}
    tomorrow = TODAY + timedelta(days=1)
    assert spans == {
        "day": (TODAY, tomorrow),
        "week": (TODAY - timedelta(days=6), tomorrow),
        "release": (date(2026, 10, 23), tomorrow),
    }


def test_the_order_of_the_rows_changes_nothing() -> None:
    items, sums = evidence(days=7, until=LAST)
    random = np.random.default_rng(1)
    mixed = [items[row] for row in random.permutation(len(items))], [sums[row] for row in random.permutation(len(sums))]
    first, second = (estimated(*rows)["win_rate", "*", "chat-2"] for rows in ((items, sums), mixed))
    assert first.bounds is not None
    assert second.bounds is not None
    assert (first.estimate, first.bounds.lower) == pytest.approx((second.estimate, second.bounds.lower))
