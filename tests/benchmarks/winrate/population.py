"""Simulated traces whose win rate is known: opinions, verdicts with ties, who is asked, and when the answer comes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SPREAD = 1.75  # of the log odds that an answer wins; at a rate of one half, opinion and verdict agree in three of four
TIES = 0.15  # of the smaller of the chances to win and to lose, that each loses to a tie
DISPUTED_SHARE = 0.15
FLATTERY = 0.4  # by which an opinion's log odds are too high: an ensemble that ranks well and is off all the same
OPINIONS = ("good", "useless", "turned")


@dataclass(frozen=True, slots=True)
class Draw:
    """With which probability a trace is judged: `disputed` where the reward models are least sure."""

    name: str
    floor: float
    disputed: float

    @property
    def mean(self) -> float:
        return self.floor + DISPUTED_SHARE * (self.disputed - self.floor)


EVEN = Draw("even", 0.05, 0.05)
UNEVEN = Draw("uneven", 0.03, 0.15)


@dataclass(frozen=True, slots=True)
class Traces:
    """Parallel arrays (n,), in the order of their selection."""

    opinions: Floats
    verdicts: Floats
    probabilities: Floats
    drawn: NDArray[np.bool_]
    delays: Floats  # from a trace to its verdict, in traces


def simulate(rng: np.random.Generator, traces: int, rate: float, opinion: str, draw: Draw) -> Traces:
    """Draw *traces* with verdicts of mean *rate*; a lost verdict takes ten times as long as a won one."""
    odds = rng.normal(0.0, SPREAD, traces) + shift_for(rate)
    chance = 1.0 / (1.0 + np.exp(-odds))
    tie = TIES * np.minimum(chance, 1.0 - chance)
    dice = rng.random(traces)
    verdicts = np.where(dice < chance - tie, 1.0, np.where(dice < chance + tie, 0.5, 0.0))
    told = 1.0 / (1.0 + np.exp(-odds - FLATTERY))
    opinions = {"good": told, "turned": 1.0 - told, "useless": rng.beta(3.0, 2.0, traces)}[opinion]
    doubt = np.abs(opinions - 0.5) + rng.normal(0.0, 0.05, traces)
    disputed = doubt <= np.quantile(doubt, DISPUTED_SHARE)
    probabilities = np.where(disputed, draw.disputed, draw.floor)
    drawn = rng.random(traces) < probabilities
    return Traces(opinions, verdicts, probabilities, drawn, traces * rng.exponential(0.1 - 0.09 * verdicts))


@cache
def shift_for(rate: float) -> float:
    """Return the log odds about which an answer's lie where the mean verdict is *rate*."""
    nodes = SPREAD * np.random.default_rng(0).normal(size=200_000)
    nodes = np.concatenate([nodes, -nodes])
    low, high = -10.0, 10.0
    while high - low > 1e-6:
        middle = (low + high) / 2.0
        low, high = (middle, high) if (1.0 / (1.0 + np.exp(-nodes - middle))).mean() < rate else (low, middle)
    return low
