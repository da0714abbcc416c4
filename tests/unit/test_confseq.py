"""The confidence sequence: what it says of a few observations, of many, and at the ends of the range."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.stats.confseq import GRID, Interval, mean_interval


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
