"""The confidence sequence: what it says of a few observations, of many, and at the ends of the range."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.stats.confseq import DRAWN_STAKES, GRID, Drawn, Interval, drawn_mean_interval, mean_interval


def test_without_observations_it_says_nothing() -> None:
    assert mean_interval(np.empty(0)) == Interval(0.0, 1.0)


def test_the_order_of_the_observations_does_not_matter() -> None:
    values = np.random.default_rng(0).beta(2, 5, 700).round(2)
    assert mean_interval(values) == mean_interval(np.sort(values))


def test_a_mixture_of_capitals_at_each_mean_gives_the_same_interval_as_the_formula_written_out() -> None:
    values = np.random.default_rng(1).random(60).round(1)
    stakes = np.geomspace(0.02, 1.0, 8) / 0.3
    kept = []
    for mean in np.linspace(0, 1, GRID + 1):
        up = [np.prod(1 + min(stake, 0.5 / mean if mean else np.inf) * (values - mean)) for stake in stakes]
        down = [np.prod(1 - min(stake, 0.5 / (1 - mean) if mean < 1 else np.inf) * (values - mean)) for stake in stakes]
        if max(np.mean(up), np.mean(down)) < 2 / 0.05:
            kept.append(mean)
    interval = mean_interval(values, sd=0.3)
    assert interval.lower == pytest.approx(kept[0] - 1 / GRID)
    assert interval.upper == pytest.approx(kept[-1] + 1 / GRID)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_observations_at_an_end_of_the_range_keep_that_end(value: float) -> None:
    interval = mean_interval(np.full(2000, value), sd=0.01)
    assert interval.lower <= value <= interval.upper
    assert interval.upper - interval.lower < 0.02


def test_a_smaller_alpha_is_wider() -> None:
    values = np.random.default_rng(2).random(300)
    careful, daring = mean_interval(values, alpha=0.001), mean_interval(values, alpha=0.2)
    assert careful.lower < daring.lower < values.mean() < daring.upper < careful.upper


def drawn(seed: int, items: int, least: float) -> Drawn:
    rng = np.random.default_rng(seed)
    predictions, values = rng.uniform(0.1, 0.9, items), rng.choice([0.0, 0.5, 1.0], items)
    probabilities = rng.choice([least, 2.0 * least], items)
    chosen = rng.random(items) < probabilities
    return Drawn(
        predictions=predictions[chosen],
        values=values[chosen],
        probabilities=probabilities[chosen],
        items=items,
        prediction_sum=float(predictions.sum()),
        prediction_square_sum=float((predictions**2).sum()),
        least_probability=least,
    )


def test_without_items_the_drawn_say_nothing_either() -> None:
    nothing = np.empty(0)
    assert drawn_mean_interval(Drawn(nothing, nothing, nothing, 0, 0.0, 0.0, 0.01)) == Interval(0.0, 1.0)


def test_with_every_item_drawn_the_capital_is_the_product_written_out() -> None:
    rng = np.random.default_rng(0)
    values, predictions = rng.random(50), rng.uniform(0.1, 0.9, 50)
    every = Drawn(predictions, values, np.ones(50), 50, float(predictions.sum()), float((predictions**2).sum()), 1.0)
    for mean in (0.1, 0.5, 0.8):
        up = [np.prod(1.0 + stake * (values - mean)) for stake in DRAWN_STAKES]
        down = [np.prod(1.0 - stake * (values - mean)) for stake in DRAWN_STAKES]
        assert every.log_capital(mean, above=True) == pytest.approx(np.log(np.mean(up)))
        assert every.log_capital(mean, above=False) == pytest.approx(np.log(np.mean(down)))


def test_sums_for_those_not_drawn_never_say_more_than_the_product_over_each() -> None:
    rng = np.random.default_rng(1)
    predictions = rng.uniform(0.1, 0.9, 300)
    nothing = np.empty(0)
    sums = float(predictions.sum()), float((predictions**2).sum())
    unlabelled = Drawn(nothing, nothing, nothing, 300, *sums, 0.5)
    stakes = DRAWN_STAKES[DRAWN_STAKES <= 0.45]
    for mean in (0.0, 0.2, 0.5, 1.0):
        exact = np.logaddexp.reduce(np.log1p(stakes[:, None] * (predictions - mean)).sum(axis=1))
        told = unlabelled.log_capital(mean, above=True)
        assert told <= exact - np.log(len(DRAWN_STAKES))


@pytest.mark.parametrize("least", [0.01, 0.1, 0.5])
def test_the_sequence_of_the_drawn_ends_where_a_bet_against_the_mean_has_won_enough(least: float) -> None:
    seen = drawn(2, 20_000, least)
    interval = drawn_mean_interval(seen, alpha=0.1)
    assert 0.0 < interval.lower < 0.5 < interval.upper < 1.0
    assert seen.log_capital(interval.lower, above=True) == pytest.approx(np.log(20.0), abs=1e-3)
    assert seen.log_capital(interval.upper, above=False) == pytest.approx(np.log(20.0), abs=1e-3)


def test_more_items_tell_more_and_a_smaller_alpha_less() -> None:
    widths = [end.upper - end.lower for end in (drawn_mean_interval(drawn(3, n, 0.05)) for n in (500, 5000, 50_000))]
    assert widths == sorted(widths, reverse=True)
    careful = drawn_mean_interval(drawn(3, 5000, 0.05), alpha=0.001)
    assert careful.upper - careful.lower > widths[1]


def test_a_probability_too_small_for_any_stake_leaves_everything_open() -> None:
    assert drawn_mean_interval(drawn(4, 20_000, 1e-6)) == Interval(0.0, 1.0)
