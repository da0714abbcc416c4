"""What two policies may differ by is what the operator accepts of the signal."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.app.rules import tolerances_of
from monitor.domain.alarm import Direction
from monitor.domain.signal import REWARD
from monitor.domain.stream import StreamKey
from monitor.drift.reask import MEASURES, Background, PairTolerance, Question
from monitor.settings.root import Settings

REWARDS = Background(mean=-2.0, spread=4.0, tail_from=0.0, tail_share=0.0)
LENGTHS = Background(mean=200.0, spread=90.0, tail_from=0.0, tail_share=0.0)
REFUSALS = Background(mean=0.06, spread=0.24, tail_from=0.0, tail_share=0.0)


@pytest.mark.parametrize(
    ("signal", "was", "accepted", "differs"),
    [
        ("response_length", LENGTHS, None, np.log(1.1)),
        ("response_length", LENGTHS, {"share": 0.25}, np.log(1.25)),
        ("response_length", LENGTHS, {"points": 40.0}, np.log(1.2)),
        ("response_length", LENGTHS, {"points": 4000.0}, 0.5),  # of logarithms clipped at 1
        ("refusal", REFUSALS, None, 0.02),
        ("refusal", REFUSALS, {"points": 0.03}, 0.03),
        ("refusal", REFUSALS, {"share": 0.1}, 0.006),
        ("reward", REWARDS, None, 2 * 0.0282),  # of win rate: what two draws from one spread come to
        ("reward", REWARDS, {"points": 0.3}, 2 * 0.0840),
        ("reward", REWARDS, {"share": 0.2}, 2 * 0.0282),
        ("reward", Background(1.0, 0.0, 0.0, 0.0), {"share": 0.2}, 0.0),
    ],
)
def test_pairs_are_held_against_the_tolerance_of_their_signal(
    signal: str, was: Background, accepted: dict[str, float] | None, differs: float
) -> None:
    chosen = {} if accepted is None else {signal: accepted}
    settings = Settings.model_validate({"drift": {"tolerance": chosen}})
    question = Question(
        stream=StreamKey(signal, "*", "*", "ensemble-1" if signal == REWARD.name else "-"),
        direction=Direction.DOWN,
        observations=1000,
        background=was,
        tolerance=PairTolerance(tolerances_of(settings)),
        alpha=0.01,
    )
    (channel,) = MEASURES[signal].channels([], question)
    assert channel.tolerance == pytest.approx(differs, abs=1e-3)
