"""What an ensemble of reward models says about a response."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import tanh


@dataclass(frozen=True, slots=True)
class Reward:
    """An ensemble's scores of one response; the unit is the members' own logit."""

    scorer_version: str
    members: tuple[float, ...]  # in the order of the ensemble's members
    mean: float
    lower: float  # mean - beta * standard deviation over members
    disagreement: float  # standard deviation over members; 0 for a single member

    def margins(self, reference: Reward) -> tuple[float, ...]:
        """Return how far each member puts this response above *reference*, by the same scorer."""
        return tuple(own - other for own, other in zip(self.members, reference.members, strict=True))


@dataclass(frozen=True, slots=True)
class Opinion:
    """How sure reward models are that a trace's response is better than its reference response."""

    scorer_version: str
    win: float  # 0 to 1; one half: they cannot tell


TemperatureOf = Callable[[str], float]  # of a scorer's version: by which its margins are divided


def plain_temperature(_version: str) -> float:
    """Return 1 for every scorer: its margins are log odds as they are."""
    return 1.0


def win_of(margins: Sequence[float], temperature: float) -> float:
    """Return the mean over members of the sigmoid of *margins*, each divided by *temperature*.

    >>> round(win_of((2.0, -1.0), 1.0), 3), win_of((1e9,), 0.5)
    (0.575, 1.0)
    """
    return sum(0.5 + 0.5 * tanh(margin / (2.0 * temperature)) for margin in margins) / len(margins)
