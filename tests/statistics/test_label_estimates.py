"""Estimates from labels over seeded populations: how often their intervals miss, at a set time and at any time."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.stats.agreement import Ratings, cohen_kappa, krippendorff_alpha, raw_agreement
from monitor.stats.confseq import Drawn, drawn_mean_interval
from monitor.stats.ppi import Floats, Labelled, MeanEstimate, Population, estimate_mean
from tests.benchmarks.winrate.population import OPINIONS, UNEVEN, simulate

ALPHA = 0.05
REPETITIONS = 250


def most_missed(runs: int) -> int:
    """Return the number that a binomial count of *runs* trials at ALPHA exceeds once in a thousand times."""
    return int(np.quantile(np.random.default_rng(0).binomial(runs, ALPHA, 200_000), 0.999))


def sums_of(values: Floats) -> tuple[float, float]:
    return float(values.sum()), float((values**2).sum())


def estimates(rate: float, opinion: str, labels: int, *, seed: int) -> list[MeanEstimate]:
    rng = np.random.default_rng(seed)
    items = round(labels / UNEVEN.mean)
    found = []
    for _ in range(REPETITIONS):
        traces = simulate(rng, items, rate, opinion, UNEVEN)
        drawn = traces.drawn
        labelled = Labelled(traces.opinions[drawn], traces.verdicts[drawn], traces.probabilities[drawn])
        estimate = estimate_mean(labelled, Population(items, items, *sums_of(traces.opinions)), min_labels=10)
        assert estimate is not None
        found.append(estimate)
    return found


@pytest.mark.parametrize("opinion", OPINIONS)
@pytest.mark.parametrize(("rate", "labels"), [(0.5, 30), (0.5, 500), (0.1, 100), (0.05, 30), (0.05, 500)])
def test_both_intervals_hold_whatever_the_opinion_is_worth(rate: float, labels: int, opinion: str) -> None:
    found = estimates(rate, opinion, labels, seed=labels)
    assert sum(not one.lower <= rate <= one.upper for one in found) <= most_missed(REPETITIONS)
    assert sum(not one.classical_lower <= rate <= one.classical_upper for one in found) <= most_missed(REPETITIONS)
    told = np.array([one.estimate for one in found])
    assert abs(told.mean() - rate) <= 4.0 * told.std() / np.sqrt(REPETITIONS)


def test_a_good_opinion_saves_labels_and_a_useless_one_costs_next_to_none() -> None:
    gains = {
        opinion: np.mean([one.labels_gained for one in estimates(0.5, opinion, 400, seed=1)[:50]])
        for opinion in OPINIONS
    }
    assert gains["good"] > 100
    assert gains["turned"] > 100
    assert gains["useless"] > -10


@pytest.mark.parametrize("opinion", OPINIONS)
@pytest.mark.parametrize("rate", [0.5, 0.05])
def test_the_sequence_holds_at_a_stopping_time_chosen_to_embarrass_it(rate: float, opinion: str) -> None:
    """Stopping where the mean of g lies furthest from the truth, in standard errors, breaks the other interval."""
    items, missed, broken, runs = 20_000, 0, 0, 60
    rng = np.random.default_rng(2)
    for _ in range(runs):
        traces = simulate(rng, items, rate, opinion, UNEVEN)
        predictions = np.clip(traces.opinions, 0.1, 0.9)
        off = traces.verdicts - predictions
        g = predictions + np.where(traces.drawn, off / traces.probabilities, 0.0)
        counts = np.arange(1, items + 1)
        errors = np.abs(np.cumsum(g) / counts - rate) * np.sqrt(counts)
        stop = int(np.argmax(errors[1500:])) + 1501
        rows = np.flatnonzero(traces.drawn[:stop])
        seen = predictions[rows], traces.verdicts[rows], traces.probabilities[rows]
        interval = drawn_mean_interval(Drawn(*seen, stop, *sums_of(predictions[:stop]), UNEVEN.floor))
        missed += not interval.lower <= rate <= interval.upper
        broken += errors[stop - 1] > 1.96 * g.std()
    assert missed <= most_missed(runs)
    assert broken > most_missed(runs)


@pytest.mark.parametrize("items", [30, 300])
@pytest.mark.parametrize("care", [0.2, 0.9], ids=["careless", "careful"])
def test_the_intervals_of_agreement_hold(items: int, care: float) -> None:
    """Two annotators who say the truth with probability *care*, and guess else."""
    rng = np.random.default_rng(items)
    agreed = (1.0 + care**2) / 2.0
    missed = np.zeros(3)
    for _ in range(REPETITIONS):
        truth = rng.integers(0, 2, (items, 1))
        told = np.where(rng.random((items, 2)) < care, truth, rng.integers(0, 2, (items, 2)))
        ratings = Ratings(np.repeat(np.arange(items), 2), np.tile([0, 1], items), told.ravel().astype(np.float64))
        for row, (measure, true) in enumerate(
            ((raw_agreement, agreed), (cohen_kappa, care**2), (krippendorff_alpha, care**2))
        ):
            found = measure(ratings)
            missed[row] += found is not None and not found.lower <= true <= found.upper
    assert (missed <= most_missed(REPETITIONS)).all()
