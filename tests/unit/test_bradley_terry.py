"""Linear Bradley-Terry models and what is measured beside them, on simulated verdicts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from monitor.domain.trace import Message
from monitor.stats.auroc import auroc
from monitor.stats.conformal import conformal_quantile
from retrain.bradley_terry import balance_lengths, choose_ridge, fit_bradley_terry, fold_of
from retrain.calibrate import COHORT_PAIRS, fit_calibration, fit_temperature
from retrain.metrics import PairScores, measure_pairs
from retrain.preferences import PreferencePair
from retrain.recipe import load_recipe
from retrain.tfidf import WordModel
from retrain.train_heads import PairFeatures, fit_heads

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROGRESS = cast(Any, SimpleNamespace(report=lambda *_args, **_named: None))


def pair(number: int, chosen: str = "yes", rejected: str = "no", **changes: Any) -> PreferencePair:
    asked = (Message("user", f"question {number} {number * 7919} {number * 104729}"),)
    return replace(PreferencePair(f"p-{number}", f"c-{number}", asked, chosen, rejected, "none", NOW), **changes)


def simulated(pairs: int, features: int, *, seed: int = 1) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return differences, chosen less rejected, and the direction by which the chosen ones were chosen."""
    random = np.random.default_rng(seed)
    direction = random.normal(size=features)
    differences = random.normal(size=(pairs, features))
    agrees = random.random(pairs) < 1 / (1 + np.exp(-differences @ direction))
    return np.where(agrees[:, None], differences, -differences), direction


def test_the_direction_of_simulated_verdicts_is_found() -> None:
    differences, direction = simulated(20_000, 4)

    assert fit_bradley_terry(differences, ridge=1e-6) == pytest.approx(direction, abs=0.1)


def test_a_margin_asks_for_a_larger_difference_and_a_weight_of_zero_forgets_a_pair() -> None:
    differences, _ = simulated(2_000, 3)
    plain = fit_bradley_terry(differences, ridge=0.01)
    kept = np.arange(2_000) < 1_000

    assert np.linalg.norm(fit_bradley_terry(differences, ridge=0.01, margins=1.0)) > 1.2 * np.linalg.norm(plain)
    forgotten = fit_bradley_terry(differences, ridge=0.01, weights=kept.astype(float))
    assert forgotten == pytest.approx(fit_bradley_terry(differences[kept], ridge=0.01), abs=1e-4)


def test_the_ridge_is_large_where_features_say_nothing_and_small_where_they_say_much() -> None:
    telling, _ = simulated(2_000, 3)
    noise = np.random.default_rng(3).normal(size=(200, 100))

    assert choose_ridge(telling, range(2_000)).ridge < choose_ridge(noise, range(200)).ridge
    assert choose_ridge(telling, range(2_000)).accuracy > 0.62
    assert choose_ridge(telling[:4], [1, 1, 1, 2]).ridge == 0.3  # nothing to choose by


def test_pairs_of_one_group_are_of_one_fold() -> None:
    groups = [number // 3 for number in range(90)]
    folds = fold_of(groups, 5)

    assert all(len(set(folds[3 * group : 3 * group + 3].tolist())) == 1 for group in range(30))
    assert np.bincount(folds).tolist() == [18] * 5


def test_longer_and_shorter_winners_weigh_alike() -> None:
    lengths = np.array([5, 5, 5, 0, -5])

    weights = balance_lengths(lengths > 0, lengths < 0)

    assert weights.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1, 2])
    assert balance_lengths(lengths > 0, lengths > 9).tolist() == [1] * 5


def test_a_word_model_learns_the_words_that_win() -> None:
    learnt = [pair(n, f"open the menu {n}", f"a great question {n}") for n in range(50)]
    other = [pair(99, "the menu is open", "what a great question"), pair(98, "a great question", "open it")]

    assert np.sign(WordModel(learnt).margins(other)).tolist() == [1, -1]
    assert WordModel(learnt).margins([pair(1, "unheard of", "never seen")]).tolist() == [0]


def test_heads_differ_by_what_they_drew_and_find_what_was_judged() -> None:
    differences, direction = simulated(1_500, 6)
    tones = [{"tone": 1.0 if row[0] > 0 else 0.2} if place % 2 else {} for place, row in enumerate(differences)]
    pairs = tuple(pair(place, dimensions=tone) for place, tone in enumerate(tones))
    scale = np.full(6, 0.5)
    features = PairFeatures((differences * scale).astype(np.float32), scale, np.zeros(6), pairs)
    recipe = load_recipe({"name": "reward_heads", "members": 4})

    weights, dimensions = fit_heads(features, recipe, seed=3, progress=PROGRESS)
    again, _ = fit_heads(features, recipe, seed=3, progress=PROGRESS)

    assert weights.shape == (5, 6)
    assert dimensions == {"tone": 750}
    assert weights == pytest.approx(again)
    for one in weights[:4]:
        assert one @ direction / np.linalg.norm(one) / np.linalg.norm(direction) > 0.97
    assert np.linalg.norm(weights[0] - weights[1]) > 0.05 * np.linalg.norm(weights[0])
    assert np.argmax(np.abs(weights[4])) == 0


def test_an_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    found = auroc(np.array([3.0, 1.0]), np.array([2.0, 0.0, 1.0]))

    assert found is not None
    assert found.value == pytest.approx((3 + 1.5) / 6)
    assert found.lower < found.value < found.upper
    apart = auroc(np.arange(30.0) + 100, np.arange(50.0))
    assert apart is not None
    assert (apart.value, apart.upper) == (1.0, 1.0)
    assert apart.lower == pytest.approx(0.025 ** (1 / 30))
    assert auroc(np.array([1.0]), np.array([])) is None


def test_a_bound_is_the_corrected_quantile_and_infinite_where_there_are_too_few() -> None:
    assert conformal_quantile(np.arange(1.0, 20.0), 0.1) == 18  # the 18th of 19: (19 + 1) * .9
    assert conformal_quantile(np.arange(9.0), 0.1) == 8
    assert conformal_quantile(np.arange(8.0), 0.1) == np.inf
    with pytest.raises(ValueError, match="rate is 1"):
        conformal_quantile(np.arange(8.0), 1.0)


def test_a_temperature_makes_members_beliefs_the_odds_they_are() -> None:
    random = np.random.default_rng(5)
    truth = 2 * random.normal(size=8_000)
    members = 3 * (truth + 0.1 * random.normal(size=(4, 8_000)))
    agrees = random.random(8_000) < 1 / (1 + np.exp(-truth))
    margins = np.where(agrees, members, -members)

    calibration = fit_calibration(margins, ["a"] * 7_950 + ["b"] * 50, range(8_000))

    assert calibration is not None
    assert calibration.temperature == pytest.approx(3, rel=0.1)
    assert calibration.error_after is not None
    assert calibration.error_after < 0.03 < calibration.error_before
    assert calibration.covered == pytest.approx(0.9, abs=0.02)
    assert calibration.pooled.quantile is not None
    assert set(calibration.by_cohort) == {"a"}
    assert COHORT_PAIRS > 50
    assert fit_temperature(-margins) is None


def test_too_few_pairs_give_a_temperature_and_no_bound() -> None:
    calibration = fit_calibration(np.array([[2.0, 1.0, -0.5, 1.5]]), ["a"] * 4, range(4))

    assert calibration is not None
    assert calibration.pooled.quantile is None
    assert calibration.covered is None
    assert fit_calibration(np.array([[-1.0, -2.0]]), ["a"] * 2, range(2)) is None


def test_members_that_differ_where_they_are_wrong_tell_their_errors() -> None:
    random = np.random.default_rng(6)
    wrong = random.random(400) < 0.3
    means = np.where(wrong, -1.0, 1.0)
    spread = np.where(wrong, 3.0, 0.3)
    members = means + spread * np.array([[-1.0], [0.0], [1.0]])
    zeros = np.zeros(400)
    metrics = measure_pairs(PairScores(means, zeros, zeros + 9, zeros + 8, ["none"] * 400, members))

    assert metrics.disagreement_auroc == 1.0
    assert metrics.disagreement_auroc_lower is not None
    assert metrics.disagreement_auroc_lower > 0.9
    alone = measure_pairs(PairScores(means, zeros, zeros + 9, zeros + 8, ["none"] * 400, members[:1]))
    assert alone.disagreement_auroc is None


def test_a_dimension_s_verdict_may_be_the_other_way_round() -> None:
    zeros = np.zeros(3)
    judged = [{"tone": 1.0, "truth": 0.5}, {"tone": 0.2}, {"truth": 0.9}]
    scores = PairScores(np.array([1.0, 1.0, 1.0]), zeros, zeros, zeros, ["none"] * 3, dimensions=judged)

    metrics = measure_pairs(scores)

    assert metrics.accuracy_by_dimension == {"tone": 0.5, "truth": 1.0}
    assert metrics.pairs_by_dimension == {"tone": 2, "truth": 1}
