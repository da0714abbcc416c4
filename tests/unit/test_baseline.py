"""Baselines: what is frozen of a window, and what the channels make of a value."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.drift.baseline import (
    ANY_POLICY,
    MIN_STRATUM,
    Baseline,
    NullRule,
    SignalBaseline,
    Window,
    build_baseline,
    build_signal_baseline,
)

RNG = np.random.default_rng(3)


def window(
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
    *,
    signal: str = "refusal",
    cohorts: list[str] | None = None,
    policies: list[str] | None = None,
) -> Window:
    n = len(values)
    return Window(signal, "1", cohorts or ["none"] * n, policies or ["phi-2"] * n, np.asarray(values, dtype=np.float64))


def frozen(given: Window, rule: NullRule = NullRule()) -> SignalBaseline:
    law = build_signal_baseline(given, rule)
    assert law is not None
    return law


def binary(n: int, mean: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return (RNG.random(n) < mean).astype(np.float64)


def test_a_window_too_small_to_know_anything_is_not_frozen() -> None:
    assert build_signal_baseline(window(binary(MIN_STRATUM - 1, 0.5)), NullRule()) is None
    assert frozen(window(binary(MIN_STRATUM, 0.5))).strata[0].observations == MIN_STRATUM


def test_a_stratum_s_interval_is_its_mean_give_or_take_its_error_and_the_tolerance() -> None:
    given, tolerance = window(binary(2000, 0.1)), {"refusal": 0.01}
    error = np.sqrt(0.1 * 0.9 / 2000)
    for own, rollup in ((0.0, 0.0), (2.0, 1.0), (3.0, 0.5)):
        (row,) = frozen(given, NullRule(rollup, own, tolerance)).strata
        assert row.half_width[0] == pytest.approx(0.01 + own * error, rel=0.15)
        assert row.rollup_half_width[0] == pytest.approx(0.01 + rollup * error, rel=0.15)
        assert row.channel_mean[0] == pytest.approx(given.values.mean())


def test_small_cohorts_are_left_out_and_the_others_pooled_toward_the_window() -> None:
    cohorts = ["large"] * 500 + ["small"] * (MIN_STRATUM - 1) + ["calm"] * 100
    values = np.concatenate((binary(500, 0.5), np.ones(MIN_STRATUM - 1), np.zeros(100)))
    law = frozen(window(values, cohorts=cohorts))
    assert list(law.for_policy("phi-2")) == ["calm", "large"]
    calm = law.for_policy("phi-2")["calm"]
    assert (calm.channel_mean, calm.channel_sd[0] > 0) == ((0.0,), True)  # it is not believed to be constant


def test_the_roll_up_s_intervals_add_up_to_the_error_of_its_own_mean() -> None:
    rule = NullRule(1.0, 1.0, {"refusal": 0.0})
    cohorts = [f"c{number % 8}" for number in range(1600)]
    law, whole = frozen(window(binary(1600, 0.2), cohorts=cohorts), rule), frozen(window(binary(1600, 0.2)), rule)
    weighted = np.mean([row.rollup_half_width[0] for row in law.strata])
    assert weighted == pytest.approx(whole.strata[0].half_width[0], rel=0.2)
    assert all(row.rollup_half_width[0] < row.half_width[0] for row in law.strata)


def test_a_policy_model_is_held_to_its_own_law_and_an_unknown_one_to_the_window_s() -> None:
    policies = ["old"] * 1000 + ["new"] * 1000
    law = frozen(window(np.concatenate((binary(1000, 0.1), binary(1000, 0.5))), policies=policies))
    means = {name: law.for_policy(name)["none"].channel_mean[0] for name in ("old", "new", "swapped")}
    assert means["old"] < 0.2 < means["swapped"] < 0.4 < means["new"]
    assert law.for_policy("swapped")["none"].policy_model == ANY_POLICY


@pytest.mark.parametrize("signal", ["refusal", "response_length", "reward"])
def test_channels_lie_between_0_and_1_and_rise_with_the_value_also_far_outside_the_window(signal: str) -> None:
    law = frozen(window(RNG.lognormal(5, 1, 2000), signal=signal))
    values = np.array([-1e9, -1.0, 0.0, 1.0, 150.0, 500.0, 1e9])
    channels = law.channels(values[2:] if signal == "response_length" else values)
    assert ((channels >= 0) & (channels <= 1)).all()
    assert (np.diff(channels, axis=0) >= 0).all()


def test_a_tail_that_runs_away_moves_the_length_s_tail_channel_from_one_per_cent() -> None:
    values = RNG.lognormal(5, 0.5, 5000)
    law = frozen(window(values, signal="response_length"))
    assert law.channels(values)[:, 2].mean() == pytest.approx(0.01, abs=0.002)
    assert law.channels(values * 3)[:, 2].mean() > 0.1


def test_the_rank_of_the_window_s_own_values_is_uniform_and_its_tails_are_of_one_per_cent() -> None:
    values = RNG.normal(-3, 2, 5000)
    channels = frozen(window(values, signal="reward")).channels(values)
    assert channels[:, 0].mean() == pytest.approx(0.5, abs=0.01)
    assert np.quantile(channels[:, 0], [0.1, 0.9]) == pytest.approx([0.1, 0.9], abs=0.02)
    assert channels[:, 1:].mean(axis=0) == pytest.approx([0.99, 0.01], abs=0.003)


@pytest.mark.parametrize("signal", ["refusal", "response_length", "reward"])
def test_a_window_of_one_value_is_frozen_without_a_division_by_zero(signal: str) -> None:
    law = frozen(window(np.full(100, 7.0 if signal != "refusal" else 0.0), signal=signal))
    assert np.isfinite(law.channels(np.array([0.0, 7.0, 100.0]))).all()
    low, high = law.bounds
    assert low < high


def test_a_baseline_survives_its_json() -> None:
    windows = [window(RNG.lognormal(5, 1, 100), signal=signal) for signal in ("response_length", "reward")]
    baseline = build_baseline(windows, NullRule(), first_place=5, stop_place=105)
    again = msgspec.json.decode(msgspec.json.encode(baseline.to_json()))
    assert Baseline.from_json(5, 105, again) == baseline


def test_an_extension_adds_the_laws_of_a_new_scorer_and_changes_none() -> None:
    law = frozen(window(RNG.normal(0, 1, 100), signal="reward"))
    added = SignalBaseline("reward", "2", law.quantiles, law.strata)
    changed = SignalBaseline("reward", "1", (), ())
    extended = Baseline(0, 100, (law,)).extended([changed, added])
    assert extended.signals == (law, added)
