"""Estimates from labels over seeded populations: how often their intervals miss, at a set time and at any time."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.stats.agreement import Ratings, cohen_kappa, krippendorff_alpha, raw_agreement
from monitor.stats.confseq import Drawn, drawn_mean_interval
from monitor.stats.ppi import Floats, Labelled, MeanEstimate, Population, estimate_mean

ALPHA = 0.05
REPETITIONS = 250
FLOOR, DISPUTED = 0.02, 0.1


def most_missed(runs: int) -> int:
    """Return the number that a binomial count of *runs* trials at ALPHA exceeds once in a thousand times."""
    return int(np.quantile(np.random.default_rng(0).binomial(runs, ALPHA, 200_000), 0.999))


def population(rng: np.random.Generator, items: int, win_rate: float, opinion: str) -> tuple[Floats, Floats, Floats]:
    """Return opinions, verdicts of mean *win_rate* with ties, and the probabilities that disagreement gives."""
    ties = win_rate / 3.0
    won = (win_rate - ties / 2.0) / (1.0 - ties)
    chance = rng.beta(2.0 * won, 2.0 * (1.0 - won), items)
    verdicts = np.where(rng.random(items) < ties, 0.5, (rng.random(items) < chance).astype(np.float64))
    noisy = np.clip(chance + rng.normal(0.0, 0.1, items), 0.0, 1.0)
    opinions = {"good": noisy, "turned": 1.0 - noisy, "useless": rng.random(items)}[opinion]
    unsure = np.abs(noisy - 0.5) + rng.normal(0.0, 0.05, items)
    return opinions, verdicts, np.where(unsure < np.quantile(unsure, 0.15), DISPUTED, FLOOR)


def estimates(win_rate: float, opinion: str, labels: int, *, seed: int) -> list[MeanEstimate]:
    rng = np.random.default_rng(seed)
    items = round(labels / (0.85 * FLOOR + 0.15 * DISPUTED))
    found = []
    for _ in range(REPETITIONS):
        opinions, verdicts, probabilities = population(rng, items, win_rate, opinion)
        drawn = rng.random(items) < probabilities
        sums = Population(items, items, float(opinions.sum()), float((opinions**2).sum()))
        labelled = Labelled(opinions[drawn], verdicts[drawn], probabilities[drawn])
        estimate = estimate_mean(labelled, sums, min_labels=10)
        assert estimate is not None
        found.append(estimate)
    return found


@pytest.mark.parametrize("opinion", ["good", "turned", "useless"])
@pytest.mark.parametrize(("win_rate", "labels"), [(0.5, 30), (0.5, 500), (0.1, 100), (0.05, 30), (0.05, 500)])
def test_both_intervals_hold_whatever_the_opinion_is_worth(win_rate: float, labels: int, opinion: str) -> None:
    found = estimates(win_rate, opinion, labels, seed=labels)
    assert sum(not one.lower <= win_rate <= one.upper for one in found) <= most_missed(REPETITIONS)
    assert sum(not one.classical_lower <= win_rate <= one.classical_upper for one in found) <= most_missed(REPETITIONS)
    told = np.array([one.estimate for one in found])
    assert abs(told.mean() - win_rate) <= 4.0 * told.std() / np.sqrt(REPETITIONS)


def test_a_good_opinion_saves_labels_and_a_useless_one_costs_next_to_none() -> None:
    gains = {
        opinion: np.mean([one.labels_gained for one in estimates(0.5, opinion, 400, seed=1)[:50]])
        for opinion in ("good", "turned", "useless")
    }
    assert gains["good"] > 100
    assert gains["turned"] > 100
    assert gains["useless"] > -10


@pytest.mark.parametrize("opinion", ["good", "turned", "useless"])
@pytest.mark.parametrize("win_rate", [0.5, 0.05])
def test_the_sequence_holds_at_a_stopping_time_chosen_to_embarrass_it(win_rate: float, opinion: str) -> None:
    """Stopping where the mean of g lies furthest from the truth, in standard errors, breaks the other interval."""
    items, missed, broken, runs = 20_000, 0, 0, 60
    rng = np.random.default_rng(2)
    for _ in range(runs):
        opinions, verdicts, probabilities = population(rng, items, win_rate, opinion)
        drawn = rng.random(items) < probabilities
        predictions = np.clip(opinions, 0.1, 0.9)
        g = predictions + np.where(drawn, (verdicts - predictions) / probabilities, 0.0)
        counts = np.arange(1, items + 1)
        off = np.abs(np.cumsum(g) / counts - win_rate) * np.sqrt(counts)
        stop = int(np.argmax(off[1500:])) + 1501
        seen = drawn[:stop]
        interval = drawn_mean_interval(
            Drawn(
                predictions=predictions[:stop][seen],
                values=verdicts[:stop][seen],
                probabilities=probabilities[:stop][seen],
                items=stop,
                prediction_sum=float(predictions[:stop].sum()),
                prediction_square_sum=float((predictions[:stop] ** 2).sum()),
                least_probability=FLOOR,
            )
        )
        missed += not interval.lower <= win_rate <= interval.upper
        broken += off[stop - 1] > 1.96 * g.std()
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
