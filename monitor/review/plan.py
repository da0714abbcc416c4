"""With which probability a trace is selected: as often as wished, and within the items that a day has room for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import floor, log2

import numpy as np
from numpy.typing import NDArray

from monitor.domain.review import SelectionPlan

DAY_SECONDS = 86_400.0
HOUR, WHILE = timedelta(hours=1), timedelta(minutes=10)  # over which traffic is counted: the busier one counts
STEPS = 4  # to a factor of 2, of a probability that gives way to the budget: few distinct ones stand in the log
WORTH_RAISING = 1.4  # how many times more items a new plan must ask for, where the old one is within the budget
MIN_DISAGREEMENTS = 200  # of late, to tell which traces are disputed
FAR_OFF = 2.0  # how many times more, or fewer, traces than wished may be disputed before the limit is moved


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the settings ask for."""

    kinds: tuple[str, ...]
    least: float
    disputed: float
    disputed_share: float  # of traces, those on which the reward models disagree most
    daily_items: float


@dataclass(slots=True)
class Traffic:
    """How many traces that can be labelled came, minute by minute, for as long as a plan looks back."""

    minutes: deque[tuple[datetime, int]] = field(default_factory=deque)

    def add(self, counts: Iterable[tuple[datetime, int]], now: datetime) -> None:
        """Take in *counts* by minute, in the order of time."""
        self.minutes.extend(counts)
        while self.minutes and self.minutes[0][0] < now - HOUR:
            self.minutes.popleft()

    def a_day(self, now: datetime) -> float:
        """Return how many a day would bring if it went on as it does."""
        spans = {span: sum(count for at, count in self.minutes if at >= now - span) for span in (HOUR, WHILE)}
        begun = now - self.minutes[0][0] if self.minutes else HOUR
        return max(DAY_SECONDS * count / min(span, max(begun, WHILE)).total_seconds() for span, count in spans.items())


def plan_selection(
    wishes: Wishes, *, traces_a_day: float, disagreements: NDArray[np.float64], before: SelectionPlan | None
) -> SelectionPlan:
    """Return the plan for traffic as it is; *before* itself where nothing else is worth a change.

    Items a day are expected within the budget. The disputed traces give way first, down to what every trace has, and
    then all do. *disagreements* are those of late, of one scorer; where too few are known, no trace is disputed.
    """
    room = wishes.daily_items / traces_a_day if traces_a_day > 0.0 else 1.0
    least = wishes.least if room >= wishes.least else _on_grid(room)
    plan = SelectionPlan(kinds=wishes.kinds, least=least, disputed=least)
    if least == wishes.least > 0.0 and len(disagreements) >= MIN_DISAGREEMENTS:
        limit = float(np.quantile(disagreements, 1.0 - wishes.disputed_share))
        share = _share_above(limit, disagreements)
        affordable = least + (room - least) / share if share else 0.0
        disputed = wishes.disputed if affordable >= wishes.disputed else _on_grid(affordable)
        if disputed > least:
            plan = replace(plan, disputed=disputed, disagreement_above=limit)
    if before is not None and _is_good(before, plan, wishes, room=room, disagreements=disagreements):
        return before
    return plan


def _is_good(
    before: SelectionPlan, plan: SelectionPlan, wishes: Wishes, *, room: float, disagreements: NDArray[np.float64]
) -> bool:
    """Say whether *before* asks for what is wished, is within the budget, and asks for about as much as *plan*."""
    disputes, would = before.disagreement_above is not None, plan.disagreement_above is not None
    if before.kinds != plan.kinds or (before.least == 0.0) != (plan.least == 0.0) or (would and not disputes):
        return False
    if before.least > wishes.least or before.disputed > max(wishes.disputed, wishes.least):
        return False
    share, usual = _share_above(before.disagreement_above, disagreements), wishes.disputed_share
    if disputes and not usual / FAR_OFF <= share <= usual * FAR_OFF:
        return False
    asked = _mean(before, share)
    return asked <= room and _mean(plan, usual) <= WORTH_RAISING * asked


def _share_above(limit: float | None, disagreements: NDArray[np.float64]) -> float:
    return float(np.mean(disagreements > limit)) if limit is not None and len(disagreements) else 0.0


def _mean(plan: SelectionPlan, disputed_share: float) -> float:
    """Return the probability of a trace, in the mean."""
    return plan.least + disputed_share * (plan.disputed - plan.least)


def _on_grid(probability: float) -> float:
    """Return the next lower probability of a few."""
    return 2.0 ** (floor(STEPS * log2(probability)) / STEPS) if probability > 0.0 else 0.0
