"""Scales: what each kind of signal makes of a window, of a value and of an effect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from monitor.domain.signal import REWARD, SignalKind
from monitor.domain.trace import TokenSource
from monitor.drift.baseline import ANY_POLICY, Baseline, SignalBaseline
from monitor.drift.diagnosis import measure_effect
from monitor.drift.log import Excerpt
from monitor.drift.scale.quantile import Floats
from monitor.drift.scale.table import SCALES
from monitor.signals.length import RESPONSE_LENGTH

WINDOWS = some.lists(some.floats(0, 1e6), min_size=20, max_size=60).map(np.array)
VALUES = some.lists(some.floats(0, 1e9), min_size=2, max_size=20).map(lambda values: np.array(sorted(values)))


def stored_law(signal: str, scorer_version: str, grid: list[float], channels: list[list[float]]) -> dict[str, Any]:
    """Return a law of one cohort as a release before the scales stored it; *channels* are means, spreads, widths."""
    return {
        "signal": signal,
        "scorer_version": scorer_version,
        "quantiles": grid,
        "strata": [
            {
                "cohort": "none",
                "policy_model": ANY_POLICY,
                "observations": 400,
                "mean": 300.0 if grid else 0.1,
                "standard_error": 5.0 if grid else 0.015,
                "channel_mean": channels[0],
                "channel_sd": channels[1],
                "half_width": channels[2],
                "rollup_half_width": channels[2],
            }
        ],
    }


def grid_to(largest: float) -> list[float]:
    return [float(quantile) for quantile in np.linspace(0.0, largest, 1001)]


THREE = [[0.5, 0.4, 0.01], [0.2, 0.2, 0.1], [0.02, 0.02, 0.01]]
STORED = [
    stored_law("refusal", "1", [], [[0.1], [0.3], [0.02]]),
    stored_law("response_length", "words", grid_to(1000.0), THREE),
    stored_law("reward", "1", grid_to(1000.0), THREE),
]

LENGTHS = [[0.27431304842396076, 0.01001001001001001, 0.0], [0.8887863615933005, 0.5005005005005005, 0.0], [1.0] * 3]
RANKS = [[0.0, 0.0, 0.0], [0.01048951048951049, 0.0, 0.0], [0.5, 1.0, 0.0], [1.0, 1.0, 1.0]]


def half(first: float, second: float) -> list[float]:
    return [first] * 30 + [second] * 30


def law_of(signal: str) -> SignalBaseline:
    return next(law for law in Baseline.from_json(0, 400, STORED).signals if law.signal == signal)


def test_every_kind_of_signal_has_a_scale() -> None:
    assert SCALES.keys() == set(SignalKind)


@pytest.mark.parametrize("kind", SignalKind)
@given(window=WINDOWS, values=VALUES)
def test_a_scale_keeps_its_channels_in_range_and_in_order_and_its_bounds_apart(
    kind: SignalKind, window: Floats, values: Floats
) -> None:
    scale = SCALES[kind]
    grid = scale.grid(window)
    channels = scale.channels(values, grid)
    assert channels.shape == (len(values), len(scale.tolerance))
    assert ((channels >= 0) & (channels <= 1)).all()
    assert (np.diff(channels, axis=0) >= 0).all()
    low, high = scale.bounds(grid)
    assert low < high


@pytest.mark.parametrize(
    ("signal", "values", "channels", "bounds"),
    [
        pytest.param("refusal", [0.0, 1.0], [[0.0], [1.0]], (0.0, 1.0), id="binary"),
        pytest.param("response_length", [10.0, 500.0, 2000.0], LENGTHS, (0.0, 1998.0), id="length"),
        pytest.param("reward", [-5.0, 10.0, 500.0, 2000.0], RANKS, (-997.0, 1997.0), id="ranked"),
    ],
)
def test_a_law_stored_by_the_release_before_gives_the_numbers_it_gave_there(
    signal: str, values: list[float], channels: list[list[float]], bounds: tuple[float, float]
) -> None:
    law = law_of(signal)
    assert law.channels(np.array(values)).tolist() == [pytest.approx(row, abs=1e-12) for row in channels]
    assert law.bounds == pytest.approx(bounds)


@pytest.mark.parametrize(
    ("signal", "channel", "values", "effect"),
    [
        pytest.param("refusal", 0, half(1.0, 0.0), (0.4, 0.17, 0.63, "ratio"), id="binary in its values"),
        pytest.param(
            "response_length",
            2,
            half(450.0, 900.0),
            (375.0, 261.428, 553.156, "words"),
            id="length in its values",
        ),
        pytest.param(
            "reward",
            0,
            half(450.0, 900.0),
            (17.482517482517483, 4.8, 28.0, "percentiles"),
            id="ranked in percentiles",
        ),
        pytest.param(
            "reward",
            2,
            half(450.0, 999.0),
            (0.49, 0.28, 0.70, "share above q99"),
            id="ranked in a tail's share",
        ),
    ],
)
def test_an_effect_is_told_in_what_its_scale_measures(
    signal: str, channel: int, values: list[float], effect: tuple[float, float, float, str]
) -> None:
    law = law_of(signal)
    since = Excerpt(np.arange(len(values)), ["none"] * len(values), np.array(values))
    found = measure_effect(since, law, law.for_policy("phi-2"), channel=channel)
    assert (found.estimate, found.lower, found.upper) == pytest.approx(effect[:3])
    assert found.unit == effect[3]


def test_words_and_tokens_are_named_and_a_length_alone_has_them() -> None:
    length, ranked = SCALES[SignalKind.LENGTH], SCALES[SignalKind.RANKED]
    assert length.unit(RESPONSE_LENGTH, TokenSource.REPORTED) == "tokens"
    assert length.unit(RESPONSE_LENGTH, TokenSource.WORDS) == "words"
    assert ranked.unit(REWARD, TokenSource.WORDS) == "reward"
