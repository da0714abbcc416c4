"""Intervals of a comparison hold the truth at least so often as they say: few items, rare differences, clusters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.stats.comparison import (
    Difference,
    Judged,
    paired_difference,
    win_difference,
    win_difference_at_equal_length,
    win_difference_by_people,
)
from monitor.stats.length_control import shortened

Floats = NDArray[np.float64]
REPEATS = 1_000
LEAST = 0.95 - 3 * (0.95 * 0.05 / REPEATS) ** 0.5  # three standard errors of a simulation


def names(count: int, *, together: int = 1) -> list[str]:
    return [f"c-{number // together}" for number in range(count)]


def coverage(draw: Callable[[np.random.Generator], Difference | None], truth: float) -> float:
    generator = np.random.default_rng(7)
    found = [draw(generator) for _ in range(REPEATS)]
    return float(np.mean([item is not None and item.lower <= truth <= item.upper for item in found]))


@pytest.mark.parametrize("count", [20, 50, 200])
@pytest.mark.parametrize(
    ("better", "worse"), [(0.0, 0.0), (0.01, 0.0), (0.05, 0.0), (0.02, 0.02), (0.2, 0.1), (0.0, 0.4), (0.9, 0.0)]
)
def test_paired_proportions_keep_their_level_however_rare_a_difference_is(
    count: int, better: float, worse: float
) -> None:
    def draw(generator: np.random.Generator) -> Difference | None:
        drawn = generator.random(count)
        candidate = np.where(drawn < better, 1.0, np.where(drawn < better + worse, 0.0, 0.5).round())
        champion = np.where(drawn < better, 0.0, np.where(drawn < better + worse, 1.0, candidate))
        return paired_difference(candidate, champion, names(count), limit=1.0)

    assert coverage(draw, better - worse) >= LEAST


@pytest.mark.parametrize(("flips", "alike"), [(None, 1.0), (None, 0.5), (1.0, 0.0)])
def test_clusters_count_once_however_alike_their_items_are(flips: float | None, alike: float) -> None:
    def draw(generator: np.random.Generator) -> Difference | None:
        clusters, size = 60, 4
        own = generator.choice([-1.0, 0.0, 1.0], p=[0.02, 0.9, 0.08], size=(clusters, size))
        shared = generator.choice([-1.0, 0.0, 1.0], p=[0.02, 0.9, 0.08], size=(clusters, 1))
        differences = np.where(generator.random((clusters, 1)) < alike, shared, own).ravel()
        zeros = np.zeros(len(differences))
        return paired_difference(differences, zeros, names(clusters * size, together=size), limit=1.0, flips=flips)

    assert coverage(draw, 0.06) >= LEAST


@pytest.mark.parametrize("count", [10, 40, 200])
def test_a_mean_of_reals_keeps_its_level(count: int) -> None:
    def draw(generator: np.random.Generator) -> Difference | None:
        both = generator.normal(4.0, 1.0, size=count)
        candidate = both + generator.standard_t(5, size=count) * 0.3 + 0.1
        return paired_difference(candidate, both, names(count, together=2))

    assert coverage(draw, 0.1) >= LEAST


@pytest.mark.parametrize("count", [30, 200])
@pytest.mark.parametrize(("win", "lose"), [(0.02, 0.02), (0.3, 0.3), (0.7, 0.1), (1.0, 0.0)])
def test_a_win_rate_keeps_its_level(count: int, win: float, lose: float) -> None:
    def draw(generator: np.random.Generator) -> Difference | None:
        wins = generator.choice([1.0, 0.5, 0.0], p=[win, 1 - win - lose, lose], size=count)
        return win_difference(wins, names(count))

    assert coverage(draw, (win - lose) / 2) >= LEAST


def test_a_candidate_that_wins_by_length_alone_is_even_at_equal_length() -> None:
    generator = np.random.default_rng(1)
    gaps = shortened(generator.normal(0.4, 0.4, size=400))
    wins = (generator.random(400) < 0.5 + 0.4 * gaps).astype(np.float64)
    raw, controlled = win_difference(wins, names(400)), win_difference_at_equal_length(wins, gaps, names(400))
    assert raw is not None
    assert controlled is not None
    assert raw.lower > 0.1
    assert controlled.lower < 0.0 < controlled.upper
    assert abs(controlled.difference) < 0.06


@pytest.mark.parametrize("count", [50, 300])
def test_the_win_rate_at_equal_length_keeps_its_level(count: int) -> None:
    def draw(generator: np.random.Generator) -> Difference | None:
        gaps = shortened(generator.normal(0.2, 0.5, size=count))
        wins = (generator.random(count) < 0.55 + 0.2 * gaps).astype(np.float64)
        return win_difference_at_equal_length(wins, gaps, names(count))

    assert coverage(draw, 0.05) >= LEAST


@pytest.mark.parametrize("labels", [30, 100, 400])
def test_people_correct_an_ensemble_that_exaggerates(labels: int) -> None:
    """The ensemble says twice as much as people mean, and flatters production by a constant that is nobody's here."""

    def draw(generator: np.random.Generator) -> Difference | None:
        probabilities = generator.choice([0.05, 0.1, 0.4], size=labels)
        opinions = generator.beta(2.0, 2.0, size=labels)
        means = 0.35 + 0.5 * (opinions - 0.5)
        judged = Judged(
            opinions=opinions,
            gaps=shortened(generator.normal(0.0, 0.3, size=labels)),
            verdicts=(generator.random(labels) < means).astype(np.float64),
            probabilities=probabilities,
            clusters=names(labels),
        )
        asked = generator.beta(3.0, 2.0, size=200)
        found = win_difference_by_people(judged, asked, np.zeros(200), names(200))
        return None if found is None else found.difference

    assert coverage(draw, 0.05) >= LEAST


def test_an_ensemble_that_people_contradict_counts_the_other_way() -> None:
    generator = np.random.default_rng(3)
    opinions = generator.beta(2.0, 2.0, size=600)
    verdicts = (generator.random(600) < 0.5 - 0.9 * (opinions - 0.5)).astype(np.float64)
    judged = Judged(opinions, np.zeros(600), verdicts, np.full(600, 0.1), names(600))
    found = win_difference_by_people(judged, np.full(200, 0.8), np.zeros(200), names(200))
    assert found is not None
    assert found.difference.upper < 0.0
    assert found.worth_upper < 0.0


def test_items_that_never_differ_still_leave_the_width_that_so_many_can_show() -> None:
    alike = np.ones(100)
    found = paired_difference(alike, alike, names(100), limit=1.0)
    assert found is not None
    assert found.difference == 0.0
    assert 0.02 < found.upper < 0.04
    assert found.lower == -found.upper


@pytest.mark.parametrize("count", [0, 1])
def test_reals_of_fewer_than_two_clusters_have_no_interval(count: int) -> None:
    assert paired_difference(np.ones(count), np.zeros(count), names(count)) is None
