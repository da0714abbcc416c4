"""What an ensemble of reward models says about a response."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reward:
    """An ensemble's scores of one response; the unit is the members' own logit."""

    scorer_version: str
    members: tuple[float, ...]  # in the order of the ensemble's members
    mean: float
    lower: float  # mean - beta * standard deviation over members
    disagreement: float  # standard deviation over members; 0 for a single member
