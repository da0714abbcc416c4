"""The paired test over seeded pairs: how often it errs at any time, and after how many pairs it knows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from monitor.stats.paired import Channel, Finding, Floats, Judgement, difference_interval, judge_pairs

ALPHA = 0.05
REPETITIONS = 1000
PAIRS = 400
TOLERANCE = float(np.log(1.1))


def most(runs: int) -> float:
    """Return how often an error of probability ALPHA happens in *runs*, three standard deviations above its mean."""
    return runs * ALPHA + 3.0 * float(np.sqrt(runs * ALPHA * (1.0 - ALPHA)))


Draw = Callable[[np.random.Generator], Floats]


def judge(differences: Floats, *, chosen: int = 0, starts: int = 1, up: bool = True) -> Judgement:
    """Judge clipped log ratios, of which the first *chosen* were chosen among *starts* windows."""
    marked = np.arange(len(differences)) < chosen
    channel = Channel(np.clip(differences, -1.0, 1.0), 1.0, TOLERANCE)
    return judge_pairs([channel], up=up, alpha=ALPHA, chosen=marked, log_choices=float(np.log(starts)))


def alike(rng: np.random.Generator) -> Floats:
    """Two answers of one policy to each prompt: prompts grow longer, so their logarithms drift together."""
    prompt = np.linspace(3.0, 6.0, PAIRS)
    old, new = prompt + rng.normal(0.0, 0.4, (2, PAIRS))
    return np.asarray(old - new)


def at_the_tolerance(rng: np.random.Generator) -> Floats:
    return TOLERANCE + rng.choice([-0.6, 0.6], PAIRS)  # no clipping: the mean is what it says


def of_growing_spread(rng: np.random.Generator) -> Floats:
    return rng.uniform(-1.0, 1.0, PAIRS) * np.linspace(0.1, 1.0, PAIRS)


@pytest.mark.parametrize("draw", [alike, at_the_tolerance, of_growing_spread], ids=lambda draw: draw.__name__)
def test_a_policy_within_the_tolerance_is_said_to_have_changed_no_oftener_than_alpha(draw: Draw) -> None:
    rng = np.random.default_rng(3)
    found = sum(judge(draw(rng)).finding is Finding.BEYOND for _ in range(REPETITIONS))
    assert found <= most(REPETITIONS)


@pytest.mark.parametrize("up", [True, False], ids=["longer", "shorter"])
def test_a_policy_at_the_tolerance_is_said_to_be_the_same_no_oftener_than_alpha(up: bool) -> None:
    rng = np.random.default_rng(4)
    sign = 1.0 if up else -1.0
    found = sum(judge(sign * at_the_tolerance(rng), up=up).finding is Finding.WITHIN for _ in range(REPETITIONS))
    assert found <= most(REPETITIONS)


def test_pairs_of_the_window_that_raised_a_false_alarm_do_not_say_that_the_policy_changed() -> None:
    """Of 2,000 answers of one policy, the longest-looking run is asked again: an alarm by chance alone."""
    rng = np.random.default_rng(5)
    traces, wrong, naive = 2000, 0, 0
    for _ in range(REPETITIONS // 2):
        old = rng.normal(0.0, 0.4, traces)
        walk = np.concatenate([[0.0], np.cumsum(old - TOLERANCE)])
        lowest = np.minimum.accumulate(walk)
        stop = int(np.argmax(walk - lowest))
        start = int(np.argmin(walk[: stop + 1]))
        differences = (old - rng.normal(0.0, 0.4, traces))[start:stop][:PAIRS]
        judged = judge(differences, chosen=len(differences), starts=traces * traces // 2)
        wrong += judged.finding is Finding.BEYOND
        naive += judge(differences).finding is Finding.BEYOND
    assert wrong <= most(REPETITIONS // 2)
    assert naive > 5 * max(wrong, 1)  # which is why such pairs pay for their choice


def test_pairs_that_could_not_be_had_count_against_either_claim() -> None:
    """Long answers time out: what is left of one policy's pairs looks as if it had grown."""
    rng = np.random.default_rng(6)
    wrong = naive = 0
    for _ in range(REPETITIONS // 2):
        old, new = rng.normal(0.0, 0.4, (2, PAIRS))
        differences = np.where(new > 0.2, np.nan, old - new)
        wrong += judge(differences).finding is Finding.BEYOND
        naive += judge(differences[np.isfinite(differences)]).finding is Finding.BEYOND
    assert wrong <= most(REPETITIONS // 2)
    assert naive > 5 * max(wrong, 1)


@pytest.mark.parametrize(
    ("ratio", "finding", "median_at_most"),
    [
        pytest.param(1.0, Finding.WITHIN, 250, id="the same policy"),
        pytest.param(1.25, Finding.BEYOND, 140, id="a quarter longer"),
        pytest.param(1.5, Finding.BEYOND, 50, id="half again as long"),
        pytest.param(0.5, Finding.BEYOND, 40, id="half as long, on the side not asked about"),
    ],
)
def test_what_is_so_is_found_within_the_pairs_that_are_asked(
    ratio: float, finding: Finding, median_at_most: int
) -> None:
    rng = np.random.default_rng(7)
    judged = [judge(np.log(ratio) + alike(rng)) for _ in range(200)]
    right = [one.pairs for one in judged if one.finding is finding]
    assert len(right) >= 0.8 * len(judged)
    assert np.median(right) <= median_at_most


def test_a_tail_that_is_not_within_its_tolerance_keeps_the_whole_open() -> None:
    rng = np.random.default_rng(8)
    body = Channel(rng.normal(0.0, 0.2, PAIRS), 1.0, TOLERANCE)
    tail = Channel((rng.random(PAIRS) < 0.04).astype(float), 1.0, 0.02)
    marked = np.zeros(PAIRS, dtype=bool)
    assert judge_pairs([body], up=True, alpha=ALPHA, chosen=marked).finding is Finding.WITHIN
    assert judge_pairs([body, tail], up=True, alpha=ALPHA, chosen=marked).finding is not Finding.WITHIN


def test_the_interval_holds_the_mean_difference() -> None:
    rng = np.random.default_rng(9)
    missed = 0
    for _ in range(200):
        interval = difference_interval(Channel(0.2 + rng.uniform(-0.5, 0.5, PAIRS), 1.0, 0.0))
        missed += not interval.lower <= 0.2 <= interval.upper
    assert missed <= most(200)
