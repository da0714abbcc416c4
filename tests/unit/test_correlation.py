"""How the reward goes together with what reward models favour: within cohorts, beside a baseline."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from monitor.domain.observation import ObservationBatch, Series, batch_of
from monitor.domain.view import BaselineSummary
from monitor.drift.correlation import Correlations, RewardCorrelation, correlations_of, present_of
from monitor.stats.rank_correlation import LEAST_PAIRS, rank_correlation

Floats = NDArray[np.float64]


def one_stratum(size: int) -> NDArray[np.int64]:
    return np.zeros(size, np.int64)


def test_in_one_stratum_it_is_spearman_s() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(size=300)
    second = np.round(first + rng.normal(size=300), 1)  # with ties
    found = rank_correlation(first, second, one_stratum(300))
    assert found is not None
    assert found.estimate == pytest.approx(spearmanr(first, second).statistic)
    assert found.lower < found.estimate < found.upper


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    truth = 6.0 / np.pi * np.arcsin(0.5 / 2.0)  # Spearman's of a normal pair that is correlated by one half
    held = 0
    for _ in range(400):
        first = rng.normal(size=200)
        second = 0.5 * first + np.sqrt(0.75) * rng.normal(size=200)
        found = rank_correlation(first, second, one_stratum(200))
        assert found is not None
        held += found.lower <= truth <= found.upper
    assert held / 400 == pytest.approx(0.95, abs=0.03)


def test_a_cohort_that_is_high_in_both_makes_no_correlation() -> None:
    rng = np.random.default_rng(3)
    strata = np.repeat([0, 1], 400)
    first, second = (rng.normal(size=800) + 5.0 * strata for _ in range(2))
    assert spearmanr(first, second).statistic > 0.7
    found = rank_correlation(first, second, strata)
    assert found is not None
    assert abs(found.estimate) < 0.1


@pytest.mark.parametrize("same", [np.ones(100), np.arange(LEAST_PAIRS - 1.0)])
def test_too_few_pairs_and_values_that_are_all_alike_say_nothing(same: Floats) -> None:
    assert rank_correlation(same, np.arange(float(len(same))), one_stratum(len(same))) is None


class InMemoryLog:
    def __init__(self, batches: Iterable[ObservationBatch], end: int) -> None:
        self.batches = list(batches)
        self.end = end

    def next_place(self) -> int:
        return self.end

    def window(self, start: int, stop: int, signals: Collection[str] | None = None) -> Iterable[ObservationBatch]:
        for batch in self.batches:
            if signals is None or batch.series.signal in signals:
                yield batch.between(start, stop)


def batch(
    signal: str, values: Iterable[float], *, model: str = "m", scorer: str = "s", first: int = 0
) -> ObservationBatch:
    rows = [(place, f"dataset={place % 2}", value) for place, value in enumerate(values, start=first)]
    return batch_of(Series(signal, model, scorer), rows)


def frozen(stop: int) -> BaselineSummary:
    return BaselineSummary(1, datetime(2026, 1, 1, tzinfo=UTC), "ada", "", 0, stop, stop, 0)


def gaming(size: int, strength: float, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    length = rng.lognormal(5.0, 0.5, size)
    return length, strength * np.log(length) + rng.normal(size=size)


def test_a_reward_that_begins_to_follow_length_is_told_beside_the_baseline() -> None:
    length, reward = (np.concatenate(parts) for parts in zip(gaming(500, 0.1, 1), gaming(500, 4.0, 2), strict=True))
    log = InMemoryLog([batch("response_length", length, scorer="reported"), batch("reward", reward)], 1000)
    (row,) = Correlations(log, lambda: frozen(500)).correlations()  # type: ignore[arg-type]
    assert (row.policy_model, row.scorer_version, row.signal) == ("m", "s", "response_length")
    assert row.baseline is not None
    assert row.current is not None
    assert (row.baseline.pairs, row.current.pairs) == (500, 500)
    assert row.baseline.upper < 0.3
    assert row.current.lower > 0.7
    assert row.has_moved


def test_without_a_baseline_the_latest_traces_are_told_alone() -> None:
    length, reward = gaming(200, 1.0, 3)
    log = InMemoryLog([batch("response_length", length, scorer="reported"), batch("reward", reward)], 200)
    (row,) = Correlations(log, lambda: None).correlations()  # type: ignore[arg-type]
    assert row.baseline is None
    assert row.current is not None
    assert not row.has_moved


def test_models_and_scorers_are_kept_apart_and_only_shared_subjects_count() -> None:
    length, reward = gaming(200, 1.0, 4)
    found = correlations_of(
        [
            batch("response_length", length, scorer="reported"),
            batch("reward", reward[:100], scorer="old"),
            batch("reward", -reward[100:], scorer="new", first=100),
            batch("reward", reward, model="other"),
            batch("over_refusal", length),
        ]
    )
    assert set(found) == {("m", "old", "response_length"), ("m", "new", "response_length")}
    assert [told.pairs for told in found.values()] == [100, 100]
    assert found["m", "old", "response_length"].estimate > 0 > found["m", "new", "response_length"].estimate


def test_the_present_is_what_most_of_the_latest_traces_have() -> None:
    few, many = (rank_correlation(*gaming(size, 1.0, 5), one_stratum(size)) for size in (50, 90))
    rows = (
        RewardCorrelation.of(("a", "s", "bold"), many, few),
        RewardCorrelation.of(("b", "s", "bold"), None, many),
        RewardCorrelation.of(("b", "s", "emoji"), None, None),
    )
    assert [row.signal for row in present_of(rows)] == ["bold", "emoji"]
    assert present_of(()) == ()
