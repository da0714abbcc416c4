"""Baselines: what is frozen of a window, of its values and of what was asked in it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.domain.cohort import ALL
from monitor.domain.observation import SubjectWindow
from monitor.drift.baseline import ANY_POLICY, Baseline, SignalBaseline
from monitor.drift.freeze import MIN_STRATUM, NullRule, Window, build_baseline, build_signal_baseline, excess
from monitor.drift.null import Foretold, Null
from monitor.drift.tolerance import Tolerance
from tests.prompts import Asking, asking, subjects_of

Floats = NDArray[np.float64]
RNG = np.random.default_rng(3)
NOTHING_ACCEPTED = NullRule(1.0, 1.0, {"refusal": Tolerance(), "response_length": Tolerance()})


def window(
    values: Floats, *, signal: str = "refusal", cohorts: list[str] | None = None, policies: list[str] | None = None
) -> Window:
    n = len(values)
    return Window(
        signal, "1", cohorts or ["none"] * n, policies or ["phi-2"] * n, np.asarray(values, np.float64), np.arange(n)
    )


def frozen(given: Window, rule: NullRule | None = None) -> SignalBaseline:
    law = build_signal_baseline(given, rule or NullRule(), None)
    assert law is not None
    return law


def binary(n: int, mean: float) -> Floats:
    return (RNG.random(n) < mean).astype(np.float64)


def bounds(law: SignalBaseline, cohort: str, *, policy_model: str = "phi-2") -> Floats:
    """Return the first channel's null interval, lower and upper, of each tier: shape (T, 2)."""
    null = Null.of(law, law.followed(cohort, policy_model), cohort, window=law.law())
    strata, nothing = np.zeros(1, np.int64), np.zeros(1)
    rows = Foretold(strata, nothing, null.located(strata, nothing), spread=np.ones(1), lean=nothing)
    found = null.intervals(rows, distance=np.zeros(1), stakes=np.ones(1))
    return np.stack((found.lower[0, :, 0], found.upper[0, :, 0]), axis=1)


def test_a_window_too_small_to_know_anything_is_not_frozen() -> None:
    assert build_signal_baseline(window(binary(MIN_STRATUM - 1, 0.5)), NullRule(), None) is None
    assert frozen(window(binary(MIN_STRATUM, 0.5))).strata[0].observations == MIN_STRATUM


def test_an_interval_is_the_mean_give_or_take_its_error_and_for_a_page_what_is_accepted() -> None:
    given = window(np.tile(np.arange(10) == 0, 200).astype(float))  # 10%, and every block of time alike
    error = np.sqrt(0.1 * 0.9 / 2000)
    for own, rollup in ((0.0, 0.0), (2.0, 1.0), (3.0, 0.5)):
        law = frozen(given, NullRule(rollup, own, {"refusal": Tolerance(share=0.5, points=0.02)}))
        for cohort, factor in (("none", own), (ALL, rollup)):
            warned, paged = bounds(law, cohort)
            assert warned == pytest.approx([0.1 - factor * error, 0.1 + factor * error], abs=0.003)
            assert paged - warned == pytest.approx([-0.05, 0.05], abs=1e-9)  # the larger of a share and of points


def test_what_is_accepted_is_said_in_the_signal_s_own_unit() -> None:
    lengths = RNG.lognormal(5, 0.5, 2000)
    law = frozen(window(lengths, signal="response_length"), NullRule(tolerance={"response_length": Tolerance(0.25)}))
    assert law.strata[0].tolerance_up == pytest.approx(np.log(1.25))
    assert law.strata[0].tolerance_down == pytest.approx(-np.log(0.75))
    rewards = RNG.normal(-3, 2, 2000)
    (row,) = frozen(window(rewards, signal="reward"), NullRule(tolerance={"reward": Tolerance(points=0.2)})).strata
    assert row.tolerance_up == row.tolerance_down == pytest.approx(0.4, rel=0.1)


def test_small_cohorts_are_left_out_and_the_others_pooled_toward_the_window() -> None:
    cohorts = ["large"] * 500 + ["small"] * (MIN_STRATUM - 1) + ["calm"] * 100
    values = np.concatenate((binary(500, 0.5), np.ones(MIN_STRATUM - 1), np.zeros(100)))
    law = frozen(window(values, cohorts=cohorts))
    assert list(law.for_policy("phi-2")) == ["calm", "large"]
    calm = law.for_policy("phi-2")["calm"]
    assert (calm.location, calm.channel_sd[0] > 0) == (0.0, True)  # it is not believed to be constant


def test_the_roll_up_s_intervals_add_up_to_the_error_of_its_own_mean() -> None:
    cohorts = [f"c{number % 8}" for number in range(1600)]
    values = binary(1600, 0.2)
    law, whole = frozen(window(values, cohorts=cohorts), NOTHING_ACCEPTED), frozen(window(values), NOTHING_ACCEPTED)
    weighted = np.mean([row.rollup_half_width[0] for row in law.strata])
    assert weighted == pytest.approx(whole.strata[0].half_width[0], rel=0.2)
    assert all(row.rollup_half_width[0] < row.half_width[0] for row in law.strata)


def test_a_policy_model_is_held_to_its_own_law_and_an_unknown_one_to_the_window_s() -> None:
    policies = ["old"] * 1000 + ["new"] * 1000
    law = frozen(window(np.concatenate((binary(1000, 0.1), binary(1000, 0.5))), policies=policies))
    means = {name: law.for_policy(name)["none"].location for name in ("old", "new", "swapped")}
    assert means["old"] < 0.2 < means["swapped"] < 0.4 < means["new"]
    assert law.for_policy("swapped")["none"].policy_model == ANY_POLICY


def test_the_means_of_blocks_of_time_that_differ_by_chance_alone_widen_nothing_and_others_do() -> None:
    steady = [frozen(window(binary(1600, 0.1))).strata[0].wander for _ in range(40)]
    assert np.mean(np.array(steady) > 0.0) <= 0.25
    moving = (RNG.random(1600) < np.repeat(np.tile([0.02, 0.4], 8), 100)).astype(float)
    assert frozen(window(moving)).strata[0].wander > 0.05
    assert excess(np.full(8, 0.3), np.full(8, 0.01)) == 0.0


def test_kinds_whose_answers_scatter_unlike_do_not_wander_for_it() -> None:
    asked = asking(4000)
    spread = np.array([{"hello": 1.0, "poem": 0.5, "essay": 0.2, "code": 0.1}[kind] for kind in asked.kinds])
    values = np.exp(Asking.log_length(asked) + RNG.normal(0.0, spread))
    given = window(values, signal="response_length", cohorts=list(asked.cohorts))
    (law,) = build_baseline([given], NullRule(), first_place=0, stop_place=4000, subjects=subjects_of(asked)).signals
    assert law.kind_wander < 0.1
    assert all(row.wander < 0.03 for row in law.strata)


def test_an_error_over_blocks_of_time_that_are_alike_within_is_larger_than_of_independent_rows() -> None:
    means = np.repeat(RNG.normal(0.0, 1.0, 16), 100)
    bursty, plain = RNG.normal(means, 0.3), RNG.normal(0.0, np.sqrt(1.09), 1600)
    errors = [frozen(window(values, signal="reward")).strata[0].standard_error for values in (bursty, plain)]
    assert errors[0] > 4 * errors[1]


@pytest.mark.parametrize("signal", ["refusal", "response_length", "reward"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_window_of_one_value_is_frozen_without_a_warning_and_its_numbers_are_finite(
    signal: str, value: float
) -> None:
    asked = asking(400)
    given = window(np.full(400, value), signal=signal, cohorts=list(asked.cohorts))
    for subjects in (None, subjects_of(asked)):
        baseline = build_baseline([given], NullRule(), first_place=0, stop_place=400, subjects=subjects)
        (law,) = baseline.signals
        assert all(np.isfinite(number) for number in numbers_of(msgspec.to_builtins(law)))
        low, high = law.bounds
        assert low < high


def numbers_of(form: object) -> list[float]:
    if isinstance(form, dict):
        return [number for part in form.values() for number in numbers_of(part)]
    if isinstance(form, list | tuple):
        return [number for part in form for number in numbers_of(part)]
    return [float(form)] if isinstance(form, int | float) else []


def test_a_baseline_survives_its_json() -> None:
    asked = asking(600, embedding_dimensions=4)
    windows = [
        window(RNG.lognormal(5, 1, 600), signal=signal, cohorts=list(asked.cohorts))
        for signal in ("response_length", "reward")
    ]
    baseline = build_baseline(windows, NullRule(), first_place=0, stop_place=600, subjects=subjects_of(asked))
    assert baseline.prompts is not None
    assert baseline.prompts.kinds is not None
    again = msgspec.json.decode(msgspec.json.encode(baseline.to_json()))
    assert Baseline.from_json(0, 600, again) == baseline


def test_a_baseline_of_an_earlier_release_is_known_as_outdated() -> None:
    old = Baseline.from_json(0, 600, [{"signal": "refusal", "strata": []}])
    assert (old.outdated, old.signals, old.first_place, old.stop_place) == (True, (), 0, 600)
    assert not Baseline(0, 600, ()).outdated


def test_an_extension_adds_the_laws_of_a_new_scorer_and_changes_none() -> None:
    law = frozen(window(RNG.normal(0, 1, 100), signal="reward"))
    added, changed = replace(law, scorer_version="2"), replace(law, strata=())
    extended = Baseline(0, 100, (law,)).extended([changed, added])
    assert extended.signals == (law, added)


def test_what_is_expected_of_an_answer_follows_its_prompt() -> None:
    asked = asking(2000)
    expected = Asking.log_length(asked)
    values = np.exp(expected + RNG.normal(0, 0.3, 2000))
    given = window(values, signal="response_length", cohorts=list(asked.cohorts))
    baseline = build_baseline([given], NullRule(), first_place=0, stop_place=2000, subjects=subjects_of(asked))
    (law,), prompts = baseline.signals, baseline.prompts
    assert prompts is not None
    assert law.expectation.uses != "mean"
    later = asking(500, seed=9)
    subjects = subjects_of(later)
    assert subjects.covariates is not None
    columns = prompts.encoder.columns(subjects.covariates, subjects.timestamps)
    location, spread = law.expectation(columns)
    truth = Asking.log_length(later)
    assert np.corrcoef(location, truth)[0, 1] > 0.95
    assert spread.mean() == pytest.approx(0.3, rel=0.25)
    noise = build_baseline(
        [window(RNG.lognormal(5, 0.5, 2000), signal="response_length", cohorts=list(asked.cohorts))],
        NullRule(),
        first_place=0,
        stop_place=2000,
        subjects=subjects_of(asked),
    )
    assert noise.signals[0].expectation.r2 < 0.02


def test_a_window_in_which_the_embedder_was_away_is_frozen_without_its_vectors() -> None:
    asked = asking(600, embedding_dimensions=4)
    known, given = asked.covariates, window(RNG.lognormal(5, 0.5, 600), signal="response_length")
    assert known.embedding is not None
    for missing in (slice(None), slice(0, 100)):
        rows = known.embedding.copy()
        rows[missing] = np.nan
        subjects = replace(subjects_of(asked), covariates=replace(known, embedding=rows))
        baseline = build_baseline([given], NullRule(), first_place=0, stop_place=600, subjects=subjects)
        assert baseline.prompts is not None
        assert baseline.prompts.encoder.embedding_dimensions == 0
        assert baseline.prompts.kinds is not None
        assert all(np.isfinite(number) for number in numbers_of(baseline.to_json()))


def test_a_clock_that_stands_at_1970_makes_a_window_no_longer() -> None:
    asked = asking(1000)
    given = window(RNG.lognormal(5, 0.5, 1000), signal="response_length")
    days, hours = [], []
    for wrong in (0, 3):
        times = asked.timestamps.copy()
        times[:wrong] = 0
        subjects = replace(subjects_of(asked), timestamps=times)
        baseline = build_baseline([given], NullRule(), first_place=0, stop_place=1000, subjects=subjects)
        assert baseline.prompts is not None
        days.append(baseline.window_days)
        hours.append(baseline.prompts.encoder.hours)
    assert days == pytest.approx([1000 / 1440] * 2, rel=0.05)
    assert hours == [False, False]


def test_a_window_without_covariates_is_frozen_by_its_means() -> None:
    asked = asking(600)
    empty = SubjectWindow(np.arange(600), subjects_of(asked).timestamps, None)
    given = window(RNG.lognormal(5, 0.5, 600), signal="response_length")
    baseline = build_baseline([given], NullRule(), first_place=0, stop_place=600, subjects=empty)
    assert baseline.prompts is None
    assert baseline.signals[0].expectation.uses == "mean"
    assert baseline.window_days > 0.0
