"""Whether a candidate that passed the gate takes the champion's place now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from monitor.domain.job import Hold

AWAITING = "awaiting_approval"


@dataclass(frozen=True, slots=True)
class Promote:
    """The registry's pointer may move."""


def decide_promotion(
    mode: Literal["automatic", "manual"], *, judged_against: str | None, champion: str | None
) -> Promote | Hold:
    """Say whether a passed candidate is promoted without an operator.

    A verdict holds against the champion it was reached with, and no other.
    """
    if judged_against != champion:
        return Hold(
            "champion_moved", f"judged against {judged_against or 'none'}; the champion is {champion or 'none'}"
        )
    if mode == "manual":
        return Hold(AWAITING, "retrain.promotion is manual")
    return Promote()
