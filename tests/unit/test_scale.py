"""Scales: what each kind of signal makes of a window, of a value and of an effect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from monitor.domain.signal import REWARD, SignalKind
from monitor.domain.trace import TokenSource
from monitor.drift.baseline import SignalBaseline
from monitor.drift.diagnosis import Since
from monitor.drift.freeze import NullRule, Window, build_signal_baseline
from monitor.drift.scale.law import Floats, WindowLaw
from monitor.drift.scale.table import SCALES
from monitor.drift.tolerance import DEFAULTS, Tolerance
from monitor.signals.length import RESPONSE_LENGTH

KINDS = list(SCALES)
WINDOWS = some.lists(some.floats(0, 1e6), min_size=20, max_size=60).map(np.array)
VALUES = some.lists(some.floats(0, 1e9), min_size=2, max_size=20).map(lambda values: np.array(sorted(values)))
RNG = np.random.default_rng(11)
COUNT = 4000
SAMPLES = {
    "refusal": (RNG.random(COUNT) < 0.1).astype(float),
    "response_length": RNG.lognormal(5.0, 0.6, COUNT),
    "reward": RNG.normal(-3.0, 2.0, COUNT),
}


def frozen(signal: str, values: Floats | None = None) -> SignalBaseline:
    found = SAMPLES[signal] if values is None else values
    names = ["none"] * len(found), ["m"] * len(found)
    version = TokenSource.WORDS if signal == "response_length" else "1"
    law = build_signal_baseline(Window(signal, version, *names, found, np.arange(len(found))), NullRule(), None)
    assert law is not None
    return law


def foretold(law: SignalBaseline, rows: int) -> tuple[Floats, Floats]:
    """Return the location and spread that a window without covariates lets expect."""
    expectation, (stratum,) = law.expectation, law.strata
    spread = max(float(np.exp(expectation.log_spread_intercept)), expectation.least_spread)
    return np.full(rows, stratum.location + expectation.location_intercept), np.full(rows, spread)


def test_every_kind_of_signal_has_a_scale_and_a_tolerance_but_the_mix_of_prompts() -> None:
    assert SCALES.keys() == DEFAULTS.keys() == set(SignalKind) - {SignalKind.MIX}


@pytest.mark.parametrize("kind", KINDS)
@given(window=WINDOWS, values=VALUES, spread=some.floats(1e-9, 1e3))
def test_a_scale_keeps_its_channels_in_range_and_in_order_and_its_bounds_apart(
    kind: SignalKind, window: Floats, values: Floats, spread: float
) -> None:
    scale = SCALES[kind]
    grid = np.asarray(scale.grid(window))
    if kind is SignalKind.ESTIMATE:  # values may lie beyond the window's: `EstimateScale.beyond`
        values = np.clip(values, grid[0], grid[-1])
    located = scale.locate(window, grid)
    centre = float(located.mean())
    law = WindowLaw.of(grid, np.sort((located - centre) / spread))
    around = np.full(len(values), centre), np.full(len(values), spread)
    channels = scale.channels(values, *around, law)
    assert channels.shape == (len(values), len(scale.weights))
    assert ((channels >= 0) & (channels <= 1)).all()
    assert (np.diff(channels, axis=0) >= 0).all()
    shifts = np.linspace(-2.0, 2.0, len(values)) * spread
    assert np.isfinite(scale.expected(*around, shifts, law)).all()
    assert (np.diff(scale.expected(*around, shifts, law), axis=0) >= -1e-9).all()
    low, high = scale.bounds(grid)
    assert low < high


@pytest.mark.parametrize("signal", SAMPLES)
def test_what_is_expected_of_a_window_s_own_values_is_what_they_are(signal: str) -> None:
    law, values = frozen(signal), SAMPLES[signal]
    around = foretold(law, len(values))
    seen = law.scale.channels(values, *around, law.law()).mean(axis=0)
    told = law.scale.expected(*around, np.zeros(len(values)), law.law()).mean(axis=0)
    assert seen == pytest.approx(told, abs=0.01)
    assert law.scale.expected_value(*around, law.law()).mean() == pytest.approx(values.mean(), rel=0.03)


@pytest.mark.parametrize(
    ("signal", "shift", "moved"),
    [
        ("refusal", 0.1, (RNG.random(COUNT) < 0.2).astype(float)),
        ("response_length", np.log(1.3), SAMPLES["response_length"] * 1.3),
        ("reward", -1.0, SAMPLES["reward"] - 1.0),
    ],
)
def test_what_is_expected_of_values_that_moved_is_what_their_channels_show(
    signal: str, shift: float, moved: Floats
) -> None:
    law = frozen(signal)
    around = foretold(law, COUNT)
    seen = law.scale.channels(moved, *around, law.law()).mean(axis=0)
    told = law.scale.expected(*around, np.full(COUNT, shift), law.law()).mean(axis=0)
    assert seen == pytest.approx(told, abs=0.02)


def test_a_tail_that_runs_away_moves_the_length_s_tail_channel_from_one_per_cent() -> None:
    law, values = frozen("response_length"), SAMPLES["response_length"]
    around = foretold(law, len(values))
    assert law.scale.channels(values, *around, law.law())[:, 2].mean() == pytest.approx(0.01, abs=0.002)
    assert law.scale.channels(values * 3, *around, law.law())[:, 2].mean() > 0.1


def test_what_is_accepted_is_the_larger_of_a_share_and_of_points() -> None:
    rate, length = SCALES[SignalKind.BINARY], SCALES[SignalKind.LENGTH]
    assert rate.shift(Tolerance(0.5, 0.02), np.array([0.01, 0.1]), 0.3)[0] == pytest.approx([0.02, 0.05])
    up, down = length.shift(Tolerance(0.1, 30.0), np.array([100.0, 1000.0]), 0.6)
    assert up == pytest.approx(np.log([1.3, 1.1]))
    assert down == pytest.approx(-np.log([0.7, 0.9]))


def since(law: SignalBaseline, values: Floats) -> Since:
    location, spread = foretold(law, len(values))
    (stratum,) = law.strata
    told = law.scale.expected_value(location, spread, law.law()) + stratum.value_offset
    within = np.clip(values, *law.bounds)
    return Since(law, (stratum,) * len(values), np.arange(len(values)), within, told, location, spread)


@pytest.mark.parametrize(
    ("signal", "channel", "values", "estimate", "unit"),
    [
        pytest.param("refusal", 0, np.tile([1.0, 0.0], 100), 0.4, "ratio", id="binary in its values"),
        pytest.param(
            "response_length", 2, SAMPLES["response_length"][:1500] * 1.5, 89.0, "words", id="length in its values"
        ),
        pytest.param("reward", 0, SAMPLES["reward"][:200] + 0.5, 10.0, "percentiles", id="ranked in percentiles"),
        pytest.param("reward", 2, np.tile([-3.0, 9.0], 100), 0.49, "share above q99", id="ranked in a tail's share"),
    ],
)
def test_an_effect_is_told_in_what_its_scale_measures(
    signal: str, channel: int, values: Floats, estimate: float, unit: str
) -> None:
    found = since(frozen(signal), values).effect(channel)
    assert found.unit == unit
    assert found.estimate == pytest.approx(estimate, rel=0.25)
    assert found.lower < found.estimate < found.upper
    assert (found.lower > 0.0) == (estimate > 0.0)


def test_of_a_raw_change_what_was_asked_explains_one_part_and_the_model_the_other() -> None:
    law = frozen("response_length")
    values = SAMPLES["response_length"][:400] * 2.0
    longer = replace(since(law, values), told=np.full(400, 1.5 * law.strata[0].mean))
    split = longer.decomposition()
    assert split.unit == "words"
    assert split.raw == pytest.approx(split.prompts + split.model)
    assert split.prompts == pytest.approx(0.5 * law.strata[0].mean, rel=0.1)
    assert split.model == pytest.approx(0.5 * law.strata[0].mean, rel=0.3)


def test_words_and_tokens_are_named_and_a_length_alone_has_them() -> None:
    length, ranked = SCALES[SignalKind.LENGTH], SCALES[SignalKind.RANKED]
    assert length.unit(RESPONSE_LENGTH, TokenSource.REPORTED) == "tokens"
    assert length.unit(RESPONSE_LENGTH, TokenSource.WORDS) == "words"
    assert ranked.unit(REWARD, TokenSource.WORDS) == "reward"


def test_the_smallest_change_that_is_told_of_a_reward_is_in_the_scorer_s_own_spread() -> None:
    wide, narrow = frozen("reward"), frozen("reward", 0.5 + (SAMPLES["reward"] + 3.0) / 1000.0)
    smallest = [law.scale.least(np.asarray(law.quantiles)) for law in (wide, narrow)]
    assert smallest[0] == pytest.approx(0.02, rel=0.1)
    assert smallest[1] == pytest.approx(smallest[0] / 1000.0, rel=0.01)
