"""The prediction-powered mean: against ppi-python, against formulas written out, and where labels say little."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ppi_py import ppi_mean_ci, ppi_mean_pointestimate

from monitor.stats.fdr import Mask
from monitor.stats.ppi import Floats, Labelled, MeanEstimate, Population, estimate_mean


def population_of(opinions: Floats) -> Population:
    known = opinions[~np.isnan(opinions)]
    return Population(len(opinions), len(known), float(known.sum()), float((known**2).sum()))


def estimate(opinions: Floats, verdicts: Floats, drawn: Mask, probability: float | Floats) -> MeanEstimate:
    probabilities = np.broadcast_to(probability, len(opinions))[drawn]
    found = estimate_mean(Labelled(opinions[drawn], verdicts[drawn], probabilities), population_of(opinions))
    assert found is not None
    return found


def drawn_uniformly(seed: int, items: int, share: float, *, noise: float = 0.2) -> tuple[Floats, Floats, Mask]:
    rng = np.random.default_rng(seed)
    chance = rng.beta(1.0, 1.5, items)
    verdicts = np.where(rng.random(items) < 0.1, 0.5, (rng.random(items) < chance).astype(float))
    opinions = np.clip(chance + rng.normal(0.0, noise, items), 0.0, 1.0)
    return opinions, verdicts, rng.random(items) < share


@pytest.mark.parametrize("noise", [0.05, 0.3, 3.0], ids=["good", "fair", "useless"])
def test_with_equal_probabilities_it_is_the_power_tuned_estimate_of_ppi_python(noise: float) -> None:
    for seed in range(5):
        opinions, verdicts, drawn = drawn_uniformly(seed, 20_000, 0.05, noise=noise)
        found = estimate(opinions, verdicts, drawn, 0.05)
        arrays = verdicts[drawn], opinions[drawn], opinions[~drawn]
        lower, upper = (float(end[0]) for end in ppi_mean_ci(*arrays, alpha=0.04))
        width = upper - lower
        assert found.estimate == pytest.approx(float(ppi_mean_pointestimate(*arrays)[0]), abs=0.02 * width)
        assert found.lower == pytest.approx(lower, abs=0.05 * width)
        assert found.upper == pytest.approx(upper, abs=0.05 * width)


def test_with_known_predictions_the_mean_is_that_of_the_labels_plus_what_the_opinions_of_all_add() -> None:
    """Labels on a line in the opinion leave nothing to estimate but the opinions' own mean."""
    opinions = np.random.default_rng(0).random(5000)
    verdicts = 0.2 + 0.5 * opinions
    drawn = np.arange(5000) % 50 == 0
    found = estimate(opinions, verdicts, drawn, 0.02)
    assert found.estimate == pytest.approx(0.2 + 0.5 * opinions.mean(), abs=0.004)
    assert found.labels_gained > 100


def test_labels_alone_give_the_mean_weighted_by_the_inverse_probabilities() -> None:
    rng = np.random.default_rng(1)
    verdicts, probabilities = rng.choice([0.0, 0.5, 1.0], 60), rng.choice([0.02, 0.1], 60)
    found = estimate_mean(Labelled(np.full(60, np.nan), verdicts, probabilities), Population(items=2000))
    assert found is not None
    assert found.estimate == found.classical == pytest.approx(np.average(verdicts, weights=1.0 / probabilities))
    assert (found.lower, found.upper) == (found.classical_lower, found.classical_upper)
    assert found.labels_gained == 0.0


@given(st.integers(0, 1000), st.floats(-3.0, 3.0).filter(lambda slope: abs(slope) > 0.1), st.floats(-5.0, 5.0))
def test_the_scale_of_opinions_does_not_matter(seed: int, slope: float, start: float) -> None:
    opinions, verdicts, drawn = drawn_uniformly(seed, 1500, 0.1)
    one, other = (estimate(told, verdicts, drawn, 0.1) for told in (opinions, start + slope * opinions))
    assert (other.estimate, other.lower, other.upper) == pytest.approx((one.estimate, one.lower, one.upper), abs=1e-6)


def test_opinions_turned_round_are_worth_as_much() -> None:
    opinions, verdicts, drawn = drawn_uniformly(3, 10_000, 0.05)
    assert estimate(1.0 - opinions, verdicts, drawn, 0.05).labels_gained == pytest.approx(
        estimate(opinions, verdicts, drawn, 0.05).labels_gained
    )


def test_half_the_opinions_missing_gain_less_and_bias_nothing() -> None:
    opinions, verdicts, drawn = drawn_uniformly(4, 20_000, 0.05)
    patchy = np.where(np.arange(20_000) % 2 == 0, np.nan, opinions)
    whole, half = (estimate(told, verdicts, drawn, 0.05) for told in (opinions, patchy))
    assert 0.0 < half.labels_gained < whole.labels_gained
    assert half.lower < verdicts.mean() < half.upper


@pytest.mark.parametrize("labels", [0, 29])
def test_too_few_labels_give_no_number(labels: int) -> None:
    rows = np.full(labels, 0.5)
    assert estimate_mean(Labelled(rows, rows, rows), Population(1000, 1000, 500.0, 300.0)) is None


@pytest.mark.parametrize("verdict", [0.0, 1.0])
def test_verdicts_that_are_all_the_same_give_an_interval_and_not_a_point(verdict: float) -> None:
    opinions = np.linspace(0.0, 1.0, 3000)
    drawn = np.arange(3000) % 100 == 0
    found = estimate(opinions, np.full(3000, verdict), drawn, 0.01)
    assert found.estimate == verdict
    assert found.lower <= verdict <= found.upper
    assert 0.1 < found.upper - found.lower < 0.3


def test_opinions_that_are_all_the_same_say_nothing() -> None:
    _, verdicts, drawn = drawn_uniformly(5, 2000, 0.1)
    found = estimate(np.full(2000, 0.7), verdicts, drawn, 0.1)
    assert found.labels_gained == pytest.approx(0.0, abs=1e-6)
    assert found.estimate == pytest.approx(found.classical)


def test_the_labels_that_are_said_to_halve_the_interval_do() -> None:
    opinions, verdicts, drawn = drawn_uniformly(6, 100_000, 0.02)
    first = estimate(opinions, verdicts, drawn, 0.02)
    assert first.labels_to_halve is not None
    share = (first.labels + first.labels_to_halve) / 100_000
    again = estimate(opinions, verdicts, np.random.default_rng(7).random(100_000) < share, share)
    assert (again.upper - again.lower) / (first.upper - first.lower) == pytest.approx(0.5, abs=0.02)


def test_a_population_that_is_labelled_whole_has_no_more_to_give() -> None:
    opinions, verdicts, _ = drawn_uniformly(8, 400, 1.0)
    found = estimate(opinions, verdicts, np.full(400, True), 1.0)
    assert found.estimate == pytest.approx(verdicts.mean(), abs=1e-3)
    assert found.labels_to_halve is None
