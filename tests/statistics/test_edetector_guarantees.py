"""What the detectors promise, counted over seeded simulations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.stats.confseq import mean_interval
from monitor.stats.edetector import EDetector, NullIntervals, Threshold

Floats = NDArray[np.float64]
RUN_LENGTH = 1000.0
RUNS = 150
LOWER, UPPER, SD = 0.025, 0.035, 0.17


def null(rows: int) -> NullIntervals:
    """Return the interval from LOWER to UPPER for each of *rows* observations."""
    shape = (rows, 1, 1)
    return NullIntervals(np.full(shape, LOWER), np.full(shape, UPPER), np.full((rows, 1), SD), np.ones(rows))


def watch(values: Floats, *, threshold: float = RUN_LENGTH) -> int | None:
    """Return the row at which the evidence first reached *threshold*."""
    detector, places = EDetector((1.0,)), np.arange(len(values))
    bets, alarm = detector.bets(values[:, None], null(len(values))), (Threshold("alarm", threshold),)
    _, crossings = detector.fold(detector.empty(), bets, places=places, thresholds=alarm)
    return crossings[0].row if crossings else None


def most_crossings(runs: int, share: float) -> int:
    """Return the number that a binomial count of *runs* trials at *share* exceeds once in ten thousand times."""
    draws = np.random.default_rng(0).binomial(runs, share, 200_000)
    return int(np.quantile(draws, 0.9999))


def steady(rng: np.random.Generator, n: int) -> Floats:
    return (rng.random(n) < UPPER).astype(float)


def swinging(rng: np.random.Generator, n: int) -> Floats:
    """Each observation's mean follows the last outcome, between the two bounds."""
    values = np.zeros(n)
    draws = rng.random(n)
    last = 0.0
    for row in range(n):
        last = float(draws[row] < (UPPER if last == 0.0 else LOWER))
        values[row] = last
    return values


def clustered(rng: np.random.Generator, n: int) -> Floats:
    """The mean stays at one bound for hundreds of rows, then at the other; the values are no coin's but beta's."""
    means = np.repeat(rng.choice([LOWER, UPPER], n // 250 + 1), 250)[:n]
    return rng.beta(20 * means, 20 * (1 - means))


@pytest.mark.parametrize("process", [steady, swinging, clustered])
def test_no_more_than_one_alarm_in_a_run_length_while_the_conditional_mean_stays_in_its_interval(
    process: Callable[[np.random.Generator, int], Floats],
) -> None:
    # An average run length of A or more does not bound P(alarm by A/10) by 0.1 for every law, but a
    # Shiryaev-Roberts statistic does: M - n is a supermartingale, so P(e >= A by n) <= n/A.
    length = int(RUN_LENGTH / 10)
    crossings = sum(watch(process(np.random.default_rng(seed), length)) is not None for seed in range(RUNS))
    assert crossings <= most_crossings(RUNS, length / RUN_LENGTH)


@pytest.mark.parametrize("process", [steady, swinging, clustered])
def test_the_average_run_length_is_at_least_what_was_asked_for(
    process: Callable[[np.random.Generator, int], Floats],
) -> None:
    horizon = int(10 * RUN_LENGTH)
    lengths = np.array([watch(process(np.random.default_rng(seed), horizon)) or horizon for seed in range(60)])
    error = lengths.std() / np.sqrt(len(lengths))
    assert lengths.mean() + 3.0 * error >= RUN_LENGTH  # cut at the horizon, so the mean errs downwards


def test_a_doubling_of_refusals_from_three_to_six_per_cent_is_found_within_two_thousand_at_the_median() -> None:
    delays = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        values = np.concatenate(((rng.random(2000) < 0.03), (rng.random(10_000) < 0.06))).astype(float)
        at = watch(values, threshold=10_000.0)
        assert at is not None
        delays.append(at - 2000)
    assert np.mean([delay < 0 for delay in delays]) <= 0.1
    assert np.median(delays) <= 1000
    assert np.quantile(delays, 0.9) <= 2000


@pytest.mark.parametrize("draw", ["uniform", "rare"])
def test_the_confidence_sequence_covers_the_mean_at_a_stopping_time_chosen_to_embarrass_it(draw: str) -> None:
    """Stopping where the running mean lies furthest from the truth would break a fixed-size interval."""
    mean = {"uniform": 0.5, "rare": 0.05}[draw]
    alpha, runs, n = 0.1, 120, 1000
    missed = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        values = rng.random(n) if draw == "uniform" else (rng.random(n) < mean).astype(float)
        counts = np.arange(1, n + 1)
        off = np.abs(np.cumsum(values) / counts - mean) * np.sqrt(counts)
        stop = int(np.argmax(off[50:])) + 51
        interval = mean_interval(values[:stop], sd=0.3, alpha=alpha)
        missed += not interval.lower <= mean <= interval.upper
    assert missed <= most_crossings(runs, alpha)


def test_the_confidence_sequence_narrows_as_observations_come() -> None:
    values = (np.random.default_rng(0).random(10_000) < 0.2).astype(float)
    widths = [
        interval.upper - interval.lower
        for interval in (mean_interval(values[:n], sd=0.4) for n in (0, 100, 1000, 10_000))
    ]
    assert widths[0] == 1.0
    assert sorted(widths, reverse=True) == widths
    assert widths[-1] < 0.04
