from __future__ import annotations

import numpy as np
import pytest

from retrain.metrics import (
    PairScores,
    belief,
    calibration_error,
    fit_sharpness,
    longer_wins,
    measure_pairs,
    wilson_interval,
)


def pair_scores(margins: list[float], length_margins: list[float], cohorts: list[str] | None = None) -> PairScores:
    zeros = np.zeros(len(margins))
    return PairScores(
        chosen=np.array(margins, dtype=np.float64),
        rejected=zeros,
        chosen_length=100 + np.array(length_margins, dtype=np.float64),
        rejected_length=zeros + 100,
        cohorts=cohorts or ["none"] * len(margins),
    )


def test_accuracy_counts_an_equal_reward_as_half_and_is_told_by_cohort() -> None:
    metrics = measure_pairs(pair_scores([1, -1, 0, 2], [5, 5, 5, 5], ["a", "a", "b", "b"]))

    assert metrics.accuracy == pytest.approx(0.625)
    assert metrics.accuracy_by_cohort == {"a": 0.5, "b": 0.75}
    assert metrics.pairs_by_cohort == {"a": 2, "b": 2}


def test_a_scorer_that_follows_length_alone_is_at_chance_on_length_balanced_pairs() -> None:
    lengths = [10.0] * 90 + [-10.0] * 10
    metrics = measure_pairs(pair_scores(lengths, lengths))

    assert metrics.accuracy == pytest.approx(0.9)
    assert metrics.length_balanced_accuracy == pytest.approx(0.5)
    assert metrics.length_balanced_pairs == 20
    assert metrics.length_reward_correlation is not None
    assert metrics.length_reward_correlation > 0.5


def test_without_a_shorter_winner_there_is_no_length_balanced_accuracy() -> None:
    metrics = measure_pairs(pair_scores([1, -1], [5, 5]))

    assert (metrics.length_balanced_accuracy, metrics.length_balanced_pairs) == (None, 0)


def test_the_longer_response_wins_as_often_as_it_was_chosen() -> None:
    assert longer_wins(np.array([9.0, 9, 9, 5]), np.array([1.0, 1, 9, 9])) == pytest.approx(0.625)


def test_a_share_of_none_or_all_lies_in_its_own_interval_whatever_rounding_does() -> None:
    for trials in range(1, 500):
        assert wilson_interval(0, trials)[0] == 0.0
        assert wilson_interval(trials, trials)[1] == 1.0


def test_the_interval_is_wilsons() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81 of 263 and 15 of 148
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_the_temperature_of_simulated_verdicts_is_found_and_calibrates_them(temperature: float) -> None:
    generator = np.random.default_rng(5)
    margins = generator.normal(size=20_000) * 2 * temperature
    agree = generator.random(20_000) < 1 / (1 + np.exp(-margins / temperature))
    signed = np.where(agree, margins, -margins)

    sharpness = fit_sharpness(signed)

    assert 1 / sharpness == pytest.approx(temperature, rel=0.05)
    assert calibration_error(belief(signed[None], sharpness), signed) < 0.02
    assert calibration_error(belief(signed[None], 5 * sharpness), signed) > 0.1


def test_margins_that_contradict_the_verdicts_have_no_temperature() -> None:
    metrics = measure_pairs(pair_scores([-1, -2, 0.5], [1, 2, 3]))

    assert metrics.temperature is None
    assert metrics.expected_calibration_error == pytest.approx(abs(1 / 3 - 0.5))


def test_a_scorer_that_is_never_wrong_keeps_a_finite_temperature() -> None:
    metrics = measure_pairs(pair_scores([1.0, 2.0, 3.0] * 100, [1, 2, 3] * 100))

    assert metrics.temperature is not None
    assert 0.05 < metrics.temperature < 1
    assert metrics.expected_calibration_error == pytest.approx(0, abs=0.01)
