"""Agreement of annotators against its libraries and formulas, and on real ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from monitor.stats.agreement import (
    Floats,
    Metric,
    Ratings,
    cohen_kappa,
    krippendorff_alpha,
    raw_agreement,
    share,
    turnover,
)


def ratings_of(table: Floats) -> Ratings:
    """Return the ratings of a table of items by annotators, with NaN where there is none."""
    items, annotators = np.nonzero(~np.isnan(table))
    return Ratings(items.astype(np.int64), annotators.astype(np.int64), table[items, annotators])


def rows_of(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


cells = st.sampled_from([0.0, 0.25, 0.5, 1.0, np.nan])
tables = st.integers(2, 5).flatmap(
    lambda people: st.lists(st.lists(cells, min_size=people, max_size=people), min_size=2, max_size=15)
)


@given(tables, st.sampled_from(list(Metric)))
def test_alpha_is_that_of_the_library(table: list[list[float]], metric: Metric) -> None:
    values = np.array(table)
    found = krippendorff_alpha(ratings_of(values), metric)
    kept = values[(~np.isnan(values)).sum(axis=1) > 1]
    assume(len(np.unique(kept[~np.isnan(kept)])) > 1)
    assert found is not None
    assert found.value == pytest.approx(krippendorff.alpha(kept.T, level_of_measurement=metric.value))
    assert found.lower <= found.value <= found.upper <= 1.0


@given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 2), min_size=2, max_size=30))
def test_kappa_of_two_annotators_is_cohens(pairs: list[tuple[float, float]]) -> None:
    first, second = np.array(pairs).T
    assume(len(np.unique([first, second])) > 1)
    by_chance = sum(float((first == value).mean() * (second == value).mean()) for value in (0.0, 0.5, 1.0))
    found = cohen_kappa(ratings_of(np.array(pairs)))
    assert found is not None
    assert found.value == pytest.approx(((first == second).mean() - by_chance) / (1.0 - by_chance))


def test_kappa_of_many_is_their_pairs_agreement_over_their_pairs_chance() -> None:
    """De Vries and others: the mean over pairs of agreement and chance, before the ratio."""
    table = np.random.default_rng(0).choice([0.0, 1.0], (40, 4), p=[0.3, 0.7])
    agreed, chance = [], []
    for i, j in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        agreed.append((table[:, i] == table[:, j]).mean())
        chance.append(sum(((table[:, i] == v).mean()) * ((table[:, j] == v).mean()) for v in (0.0, 1.0)))
    found = cohen_kappa(ratings_of(table))
    assert found is not None
    assert found.value == pytest.approx((np.mean(agreed) - np.mean(chance)) / (1.0 - np.mean(chance)))


def test_raw_agreement_counts_each_item_once_however_many_have_rated_it() -> None:
    table = np.array([[1.0, 1.0, np.nan, np.nan], [1.0, 1.0, 0.0, 0.0], [0.0, np.nan, np.nan, np.nan]])
    found = raw_agreement(ratings_of(table))
    assert found is not None
    assert found.value == pytest.approx((1.0 + 2 / 6) / 2)
    assert (found.items, found.annotators) == (2, 4)


def test_codes_need_not_begin_at_zero_nor_rows_be_in_order() -> None:
    table = np.random.default_rng(1).choice([0.0, 0.5, 1.0], (30, 3))
    plain = ratings_of(table)
    order = np.random.default_rng(2).permutation(len(plain.items))
    strange = Ratings(7 * plain.items[order] + 100, 3 * plain.annotators[order] + 5, plain.values[order])
    for measure in (raw_agreement, cohen_kappa, krippendorff_alpha):
        one, other = measure(plain), measure(strange)
        assert one is not None
        assert other is not None
        assert (one.value, one.lower, one.upper) == pytest.approx((other.value, other.lower, other.upper))


@pytest.mark.parametrize("measure", [raw_agreement, cohen_kappa, krippendorff_alpha])
def test_a_few_items_that_all_agree_give_an_interval_and_not_a_point(measure: Any) -> None:
    found = measure(ratings_of(np.repeat([[0.0], [1.0]] * 10, 2, axis=1)))
    assert found.value == found.upper == 1.0
    assert 0.5 < found.lower < 0.9


def test_nothing_shared_or_nothing_told_apart_says_nothing() -> None:
    alone = ratings_of(np.array([[1.0, np.nan], [np.nan, 0.0]]))
    assert raw_agreement(alone) is cohen_kappa(alone) is krippendorff_alpha(alone) is None
    same = ratings_of(np.ones((10, 2)))
    assert cohen_kappa(same) is krippendorff_alpha(same) is None


def test_three_real_raters_of_answers_agree_as_published(shared_data: Path) -> None:
    rows = rows_of(shared_data / "human_pairs" / "pandalm_test.jsonl.gz")
    table = np.array([row["annotators"] for row in rows], dtype=np.float64)
    for pair, kappa in (([0, 1], 0.852), ([0, 2], 0.879), ([1, 2], 0.862)):
        found = cohen_kappa(ratings_of(table[:, pair]))
        assert found is not None
        assert found.value == pytest.approx(kappa, abs=5e-4)
        assert 0.02 < found.upper - found.value < 0.04
    pooled = cohen_kappa(ratings_of(table))
    assert pooled is not None
    assert pooled.value == pytest.approx(0.864, abs=5e-4)


def test_alpha_of_real_ratings_of_harm_is_that_of_the_library(shared_data: Path) -> None:
    rows = rows_of(shared_data / "rater_agreement" / "harm_multi_annotator.jsonl.gz")
    table = np.array([[float(score) for score in row["human_scores"].values()] for row in rows])
    for metric in Metric:
        found = krippendorff_alpha(ratings_of(table), metric)
        assert found is not None
        assert found.value == pytest.approx(krippendorff.alpha(table.T, level_of_measurement=metric.value))
        assert found.lower < found.value < found.upper


@pytest.mark.parametrize(
    ("count", "total", "lower", "upper"), [(0, 10, 0.0, 0.2775), (15, 30, 0.3315, 0.6685), (90, 100, 0.8256, 0.9448)]
)
def test_a_share_has_wilsons_interval(count: int, total: int, lower: float, upper: float) -> None:
    found = share(count, total)
    assert found is not None
    assert (found.value, found.lower, found.upper) == pytest.approx((count / total, lower, upper), abs=1e-4)


def test_a_share_of_nothing_is_none() -> None:
    assert share(0, 0) is None


def test_turnover_tells_who_joined_from_who_left() -> None:
    annotators = np.array([1, 1, 2, 3, 3, 1, 1, 2, 4])
    ages = np.array([1.0, 2.0, 3.0, 4.0, 29.9, 30.0, 40.0, 50.0, 59.0])
    found = turnover(annotators, ages)
    assert found is not None
    assert (found.joined, found.left, found.labels) == (2 / 5, 1 / 4, 5)
    assert found.value == 2 / 5


def test_an_annotator_who_comes_back_after_months_has_not_joined() -> None:
    found = turnover(np.array([1, 2, 1]), np.array([5.0, 40.0, 200.0]))
    assert found is not None
    assert (found.joined, found.left) == (0.0, 1.0)


@pytest.mark.parametrize("ages", [[1.0, 2.0], [40.0, 50.0], [1.0, 90.0], []], ids=str)
def test_a_panel_without_both_windows_has_no_turnover(ages: list[float]) -> None:
    assert turnover(np.arange(len(ages)), np.array(ages)) is None
