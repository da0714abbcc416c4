"""The e-detector: its recursion, its maps, its state, and what it says of a change."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from monitor.stats.edetector import (
    BETS,
    CHUNK,
    LONGEST_CHUNK,
    LOSS_LIMIT,
    SMALLEST_SD,
    SMALLEST_UPPER,
    AffineMap,
    Crossing,
    EDetector,
    NullIntervals,
    State,
    Threshold,
    component_weights,
    fold,
)

Floats = NDArray[np.float64]
COMPONENTS = 2 * BETS
THRESHOLDS = (Threshold("low", 3.0), Threshold("high", 30.0))
ROWS = 2 * LONGEST_CHUNK
WEIGHTS = component_weights((1.0,), 1)

growth = st.floats(0.4, 4.0)


def increments_of(rows: st.SearchStrategy[int]) -> st.SearchStrategy[Floats]:
    return rows.flatmap(lambda n: arrays(np.float64, (n, COMPONENTS), elements=growth))


def binary(rng: np.random.Generator, n: int, mean: float) -> Floats:
    return (rng.random(n) < mean).astype(float)[:, None]


def null(rows: int, lower: float, upper: float, sd: float) -> NullIntervals:
    """Return the same interval for each of *rows* observations, on one channel and one tier."""
    shape = (rows, 1, 1)
    return NullIntervals(np.full(shape, lower), np.full(shape, upper), np.full((rows, 1), sd), np.ones(rows))


def watch(
    values: Floats, interval: tuple[float, float, float], *, threshold: float = 10_000.0
) -> tuple[State, list[Crossing]]:
    detector, against = EDetector((1.0,)), null(len(values), *interval)
    bets, thresholds = detector.bets(values, against), (Threshold("alarm", threshold),)
    return detector.fold(detector.empty(), bets, places=np.arange(len(values)), thresholds=thresholds)


def log_e(state: State) -> float:
    return float(state.log_e(np.log(WEIGHTS), 1)[0])


def naive(increments: Floats, starts: Floats) -> tuple[Floats, Floats, list[float]]:
    """Return M, C and the path of e, one observation at a time."""
    m, c = np.zeros(COMPONENTS), np.zeros(COMPONENTS)
    path = []
    for step, start in zip(increments, starts, strict=True):
        m = (m + start) * step
        c = np.maximum(c, 1.0) * step
        path.append(float(m.mean()))
    return m, c, path


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2 * LONGEST_CHUNK), st.floats(0.02, 0.4), st.floats(0.0, 1.0))
def test_the_fold_is_the_shiryaev_roberts_recursion_and_the_first_crossings_of_its_mean(
    seed: int, rows: int, spread: float, least: float
) -> None:
    rng = np.random.default_rng(seed)
    drift = rng.normal(-(spread**2) / 2, spread, (rows, COMPONENTS))
    increments, starts = np.exp(np.clip(drift, np.log(0.4), np.log(4.0))), rng.uniform(least, 1.0, rows)
    starts[0] = 1.0
    m, c, path = naive(increments, starts)
    state, crossings = fold(
        State.empty(COMPONENTS),
        increments,
        np.arange(len(increments)),
        weights=WEIGHTS,
        thresholds=THRESHOLDS,
        starts=starts,
    )
    np.testing.assert_allclose(state.log_m, np.log(m), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(state.log_c, np.log(c), rtol=1e-9, atol=1e-9)
    assert log_e(state) == pytest.approx(np.log(path[-1]), abs=1e-9)
    firsts = [next((row for row, e in enumerate(path) if e >= threshold.e), None) for threshold in THRESHOLDS]
    assert [crossing.row for crossing in crossings] == [row for row in firsts if row is not None]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, ROWS), max_size=4))
def test_where_the_rows_are_cut_into_calls_changes_neither_the_state_nor_a_crossing(seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    values = rng.beta(1.0, 2.0, (ROWS, 1))
    increments = null(ROWS, 0.25, 0.3, 0.2).increments(values)
    indices = np.arange(1000, 1000 + ROWS)
    whole, expected = fold(State.empty(COMPONENTS), increments, indices, weights=WEIGHTS, thresholds=THRESHOLDS)
    state, found = State.empty(COMPONENTS), []
    waiting: tuple[Threshold, ...] = THRESHOLDS
    edges = [0, *sorted(cuts), ROWS]
    for start, stop in pairwise(edges):
        state, crossings = fold(state, increments[start:stop], indices[start:stop], weights=WEIGHTS, thresholds=waiting)
        waiting = waiting[len(crossings) :]
        found += [(crossing.threshold, crossing.row + start, crossing.onset, crossing.up) for crossing in crossings]
    assert found == [(crossing.threshold, crossing.row, crossing.onset, crossing.up) for crossing in expected]
    np.testing.assert_allclose(state.log_m, whole.log_m, atol=1e-9)
    np.testing.assert_allclose(state.log_c, whole.log_c, atol=1e-9)
    np.testing.assert_array_equal(state.onset, whole.onset)


@settings(deadline=None)
@given(increments_of(st.integers(3, CHUNK)), st.data())
def test_maps_compose_associatively_and_to_the_map_of_all_their_rows(increments: Floats, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, len(increments) - 2))
    second = data.draw(st.integers(first + 1, len(increments) - 1))
    indices = np.arange(len(increments))
    parts = [(0, first), (first, second), (second, len(increments))]
    a, b, c = (AffineMap.of(increments[i:j], indices[i:j]) for i, j in parts)
    whole = AffineMap.of(increments, indices)
    for composed in (a.then(b).then(c), a.then(b.then(c))):
        np.testing.assert_allclose(composed.log_p, whole.log_p, atol=1e-9)
        np.testing.assert_allclose(composed.log_s, whole.log_s, atol=1e-9)
        np.testing.assert_allclose(composed.log_q, whole.log_q, atol=1e-9)


def test_a_state_survives_its_bytes_bit_by_bit() -> None:
    state, _ = watch(binary(np.random.default_rng(0), 500, 0.1), (0.05, 0.06, 0.25))
    for kept in (state, State.empty(state.log_m.size)):
        again = State.from_bytes(kept.to_bytes())
        for name in ("log_m", "log_c", "onset"):
            np.testing.assert_array_equal(getattr(again, name), getattr(kept, name))
        assert again.log_m.flags.writeable


@pytest.mark.parametrize(("mean", "up"), [(0.15, True), (0.005, False)], ids=["a rise", "a fall"])
def test_the_side_with_the_evidence_names_the_direction(mean: float, up: bool) -> None:
    values = binary(np.random.default_rng(1), 20_000, mean)
    _, crossings = watch(values, (0.045, 0.055, 0.22))
    assert [crossing.up for crossing in crossings] == [up]


def test_a_planted_change_is_dated_near_its_onset() -> None:
    misses = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = np.vstack((binary(rng, 3000, 0.05), binary(rng, 3000, 0.15)))
        _, (crossing,) = watch(values, (0.045, 0.055, 0.22), threshold=100_000.0)
        assert crossing.row >= 3000
        misses.append(abs(crossing.onset - 3000))
    assert np.median(misses) <= 60
    assert max(misses) <= 400


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize(("lower", "upper"), [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, SMALLEST_UPPER)])
def test_a_long_run_of_one_value_stays_finite_against_the_narrowest_bounds(
    value: float, lower: float, upper: float
) -> None:
    with np.errstate(all="raise", under="ignore"):
        state, _ = watch(np.full((10_000, 1), value), (lower, upper, 0.0), threshold=1e300)
    assert np.isfinite(state.log_m).all()
    assert np.isfinite(state.log_c).all()


def test_a_constant_far_outside_its_interval_alarms_within_a_few_observations_and_one_at_the_bound_never() -> None:
    _, (crossing,) = watch(np.ones((5000, 1)), (0.0, 0.01, SMALLEST_SD))
    assert crossing.row < 10
    assert watch(np.full((50_000, 1), 0.01), (0.01, 0.01, 0.1), threshold=100_000.0)[1] == []


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_no_bet_loses_more_than_its_limit_and_each_is_fair_at_its_bound(
    mean: float, half: float, sd: float, value: float
) -> None:
    against = null(3, mean - half, mean + half, sd)
    assert (against.increments(np.array([[0.0], [1.0], [value]])) >= 1.0 - LOSS_LIMIT - 1e-9).all()
    if SMALLEST_UPPER <= mean + half < 1.0:
        np.testing.assert_allclose(against.increments(against.upper[:, 0])[:, :BETS], 1.0)
    if 0.0 < mean - half <= 1.0 - SMALLEST_UPPER:
        np.testing.assert_allclose(against.increments(against.lower[:, 0])[:, BETS:], 1.0)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_signal_that_always_had_one_value_and_keeps_it_gathers_no_evidence(value: float) -> None:
    state, crossings = watch(np.full((50_000, 1), value), (value - 0.003, value + 0.003, 0.0), threshold=10.0)
    assert crossings == []
    assert log_e(state) < np.log(10.0)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_each_tier_gathers_what_it_would_gather_alone_and_is_asked_for_its_own_threshold(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((rows, 2))
    centre, sd, stakes = rng.uniform(0.3, 0.5, (rows, 1, 2)), rng.uniform(0.1, 0.4, (rows, 2)), rng.random(rows)
    half = np.array([0.02, 0.15])[None, :, None]
    both = NullIntervals(centre - half, centre + half, sd, stakes)
    detector, alone = EDetector((0.8, 0.2), 2), EDetector((0.8, 0.2))
    thresholds = (Threshold("narrow", 5.0, 0), Threshold("wide", 5.0, 1))
    bets, places = detector.bets(values, both), np.arange(rows)
    evidence, crossings = detector.fold(detector.empty(), bets, places=places, thresholds=thresholds)
    for tier, name in enumerate(("narrow", "wide")):
        one = NullIntervals(both.lower[:, [tier]], both.upper[:, [tier]], sd, stakes)
        bets = alone.bets(values, one)
        own, found = alone.fold(alone.empty(), bets, places=places, thresholds=(Threshold(name, 5.0),))
        assert detector.log_e(evidence)[tier] == pytest.approx(alone.log_e(own)[0])
        assert [c.row for c in crossings if c.threshold.name == name] == [c.row for c in found]


def test_what_is_not_staked_neither_wins_nor_loses() -> None:
    unstaked = NullIntervals(np.full((50, 1, 1), 0.1), np.full((50, 1, 1), 0.2), np.full((50, 1), 0.3), np.zeros(50))
    assert (unstaked.increments(np.ones((50, 1))) == 1.0).all()
    half = NullIntervals(unstaked.lower, unstaked.upper, unstaked.sd, np.full(50, 0.5))
    whole = null(50, 0.1, 0.2, 0.3)
    np.testing.assert_allclose(half.increments(np.ones((50, 1))) - 1.0, (whole.increments(np.ones((50, 1))) - 1.0) / 2)


def test_evidence_grows_with_what_was_staked_and_not_with_what_was_only_seen() -> None:
    detector, rows = EDetector((1.0,)), 20_000
    shape = (rows, 1, 1)
    unstaked = NullIntervals(np.full(shape, 0.1), np.full(shape, 0.2), np.full((rows, 1), 0.3), np.zeros(rows))
    bets, alarm = detector.bets(np.ones((rows, 1)), unstaked), (Threshold("alarm", 10.0),)
    evidence, crossings = detector.fold(
        detector.empty(), bets, stakes=unstaked.stakes, places=np.arange(rows), thresholds=alarm
    )
    assert crossings == []
    assert detector.log_e(evidence)[0] == -np.inf


def test_each_observation_bets_against_an_interval_of_its_own() -> None:
    """Values that follow a mean known beforehand are no evidence, however it moves."""
    rng = np.random.default_rng(4)
    means = np.repeat(rng.uniform(0.1, 0.9, 200), 25)
    values = (rng.random(len(means)) < means).astype(float)[:, None]
    bounds = means[:, None, None]
    known = NullIntervals(bounds - 0.02, bounds + 0.02, np.sqrt(means * (1 - means))[:, None], np.ones(len(means)))
    detector, alarm = EDetector((1.0,)), (Threshold("alarm", 10_000.0),)
    bets = detector.bets(values, known)
    assert detector.fold(detector.empty(), bets, places=np.arange(len(means)), thresholds=alarm)[1] == []
    assert watch(values, (0.48, 0.52, 0.5))[1] != []
