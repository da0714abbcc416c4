"""Whether a candidate that passed the gate takes the champion's place now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from monitor.domain.job import Hold
from monitor.settings.policy import ShadowSettings

AWAITING = "awaiting_approval"


SHADOWING = "shadowing"
WAITING = frozenset({AWAITING, SHADOWING})  # reasons that leave the job as it is


@dataclass(frozen=True, slots=True)
class Promote:
    """The registry's pointer may move; *note* says what it was held for before."""

    note: str = ""


def decide_shadow(
    wanted: ShadowSettings, *, unsupported: str | None, scored: int, passed_at: datetime, now: datetime
) -> Promote | Hold:
    """Say whether a passed ensemble has scored beside the champion long enough; *unsupported*: why it cannot."""
    if not wanted.traces:
        return Promote()
    if unsupported is not None:
        return Promote(f"not shadowed: {unsupported}")
    told = f"{scored} of {wanted.traces} traces scored beside the champion"
    if scored >= wanted.traces:
        return Promote(told)
    if now - passed_at >= timedelta(hours=wanted.max_hours):
        return Promote(f"{told} in {wanted.max_hours:g} hours")
    return Hold(SHADOWING, told)


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
