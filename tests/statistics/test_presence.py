"""What comes with traces, simulated: how often it is missed falsely, and after how many traces a stop is told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.stats.presence import Presence

ROWS, PER_ENTRY, DAILY, DAYS, EXCEED = 60, 10, 2_000, 30, 0.5
LEARNT = 2  # days
Drawn = NDArray[np.float64]
Draw = Callable[[np.random.Generator, Drawn], Drawn]


def rare(random: np.random.Generator, _: Drawn) -> Drawn:
    """A rating that comes with one trace in fifty."""
    return random.binomial(PER_ENTRY, 0.02, ROWS).astype(float)


def nearly_always(random: np.random.Generator, _: Drawn) -> Drawn:
    """A score that cannot be had of one trace in a hundred."""
    return random.binomial(PER_ENTRY, 0.99, ROWS).astype(float)


def in_runs(random: np.random.Generator, before: Drawn) -> Drawn:
    """A score that is away for five entries on average, once in two hundred."""
    stays = np.where(before > 0.0, 1.0 - 1.0 / 200.0, 1.0 / 5.0)
    return np.where(random.random(ROWS) < stays, float(PER_ENTRY), 0.0)


@pytest.mark.parametrize(
    ("draw", "at_most"),
    [(rare, 1500.0), (nearly_always, 10.0), (in_runs, 1500.0)],
    ids=["rare", "nearly always", "in runs"],
)
def test_what_comes_with_traces_is_missed_falsely_no_more_often_than_asked_for(draw: Draw, at_most: float) -> None:
    random, presence = np.random.default_rng(5), Presence(ROWS)
    records, exceed = np.full(ROWS, float(PER_ENTRY)), np.full(ROWS, EXCEED)
    came, missing, false = records.copy(), np.zeros(ROWS, dtype=bool), 0
    for number in range(DAYS * DAILY // PER_ENTRY):
        came = draw(random, came)
        presence.add(records, came)
        if number * PER_ENTRY >= LEARNT * DAILY:
            silent = presence.waited > presence.allowed(exceed, np.full(ROWS, float(DAYS * DAILY)))
            false += int((silent & ~missing).sum())
            missing = silent
    allowed = presence.allowed(exceed, np.full(ROWS, float(DAYS * DAILY)))
    print(f"{draw.__name__}: {false} of {ROWS * EXCEED:.0f} expected; told after {np.median(allowed):.0f} traces")
    assert false <= ROWS * EXCEED + 3.0 * (ROWS * EXCEED) ** 0.5
    assert np.median(allowed) <= at_most
