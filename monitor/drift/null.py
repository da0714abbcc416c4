"""What a stream bets against: the null interval of each observation, in the tiers of severity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.domain.cohort import ALL
from monitor.drift.baseline import SignalBaseline, Stratum, may_page
from monitor.drift.detector import DETECTORS, Detector
from monitor.drift.kinds import MEMORY, of_late
from monitor.drift.scale.law import WindowLaw
from monitor.drift.scale.table import Scale
from monitor.drift.stream import TIERS
from monitor.stats.edetector import NullIntervals

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
LEAN_ERRORS = 2.0  # of a recent mean by chance alone, which explain nothing
LEAST_R2 = 0.05  # A model that explains less says nothing of the mix either.
MOST_LEAN = 3.0  # A model that explains little says little of how far the prompts lean, too.
DISTANCES = 2.0  # standard deviations of what kinds of prompts wander, for the mix that has moved


@dataclass(frozen=True, slots=True)
class Null:
    """A stream's strata, a row each; arrays of shape (S,) on the scale's axis, (S, C) per channel."""

    scale: Scale
    law: WindowLaw
    rows: Mapping[str, int]  # of each cohort
    detector: Detector
    location: Floats
    tolerance_up: Floats
    tolerance_down: Floats
    wander: Floats
    kind_wander: float
    offset: Floats  # (S, C)
    half_width: Floats  # (S, C)
    sd: Floats  # (S, C)
    foretold: Floats  # (S,)
    foretold_sd: Floats  # (S,)
    attenuation: float  # what the prompts do to the mean beyond what they let expect, per unit of that
    steady: bool  # False: the window's own blocks moved by more than is accepted, so no page can be trusted

    @classmethod
    def of(cls, law: SignalBaseline, chosen: Sequence[Stratum], cohort: str, *, window: WindowLaw) -> Null:
        """Return what the stream of *cohort* bets against: the strata that it follows, at least one.

        *window* is `law.law()`, which is made once for all streams.
        """
        r2 = law.expectation.r2
        return cls(
            scale=law.scale,
            law=window,
            rows={row.cohort: number for number, row in enumerate(chosen)},
            detector=DETECTORS[law.detector](law.scale.weights, len(TIERS)),
            location=np.array([row.location for row in chosen]),
            tolerance_up=np.array([row.tolerance_up for row in chosen]),
            tolerance_down=np.array([row.tolerance_down for row in chosen]),
            wander=np.array([row.wander for row in chosen]),
            kind_wander=law.kind_wander,
            offset=np.array([row.channel_offset for row in chosen]),
            half_width=np.array([row.rollup_half_width if cohort == ALL else row.half_width for row in chosen]),
            sd=np.array([row.channel_sd for row in chosen]),
            foretold=np.array([row.foretold for row in chosen]),
            foretold_sd=np.array([row.foretold_sd for row in chosen]),
            attenuation=0.0
            if r2 < LEAST_R2
            else min(1.0 / r2 - 1.0, MOST_LEAN)
            if law.scale.given_prompt
            else 1.0 / r2,
            steady=may_page(chosen),
        )

    def intervals(
        self, rows: Foretold, *, distance: Floats, stakes: Floats, beyond: Floats | None = None
    ) -> NullIntervals:
        """Return the null intervals of n observations: h = z se + tolerance + tau_t + 2 tau_g D_t + what leans.

        Arrays of shape (n,): the mix's *distance* before each, the share of the *stakes* that is placed, and how far
        *beyond* 0 and 1 the channels may lie.
        """
        strata, location, spread = rows.strata, rows.location, rows.spread
        widths = self.widths(rows, distance)
        centre, half = self.offset[strata], self.half_width[strata]
        upper, lower = [], []
        for up, down in ((0.0, 0.0), (self.tolerance_up[strata], self.tolerance_down[strata])):
            above, below = widths.wanders + up + widths.rises, widths.wanders + down + widths.falls
            high = self.scale.expected(location, spread, above, self.law)
            low = self.scale.expected(location, spread, -below, self.law)
            # Where every value may lie at an end already, the window's offset must not forbid some of them.
            upper.append(high + np.where(high < 1.0, centre, np.maximum(centre, 0.0)) + half)
            lower.append(low + np.where(low > 0.0, centre, np.minimum(centre, 0.0)) - half)
        sd = self.sd[strata] / self.scale.bet_ratio  # the bets are told in it
        return NullIntervals(np.stack(lower, axis=1), np.stack(upper, axis=1), sd, stakes, beyond)

    def widths(self, rows: Foretold, distance: Floats) -> Widths:
        """Return what widens the intervals of n observations beside the window's own error and the tolerance."""
        strata = rows.strata
        over_time, over_kinds = 0.5 * self.wander[strata], DISTANCES * self.kind_wander * distance
        chance = LEAN_ERRORS * self.foretold_sd[strata] / MEMORY**0.5
        rises, falls = np.maximum(rows.lean - chance, 0.0), np.maximum(-rows.lean - chance, 0.0)
        if not self.scale.given_prompt:
            own, usual = rows.said - self.foretold[strata], self.foretold_sd[strata]
            rises, falls = np.maximum(rises, own - usual), np.maximum(falls, -own - usual)
        wanders = self.scale.least(self.law.grid) + np.hypot(over_time, over_kinds)
        return Widths(over_time, over_kinds, wanders, self.attenuation * rises, self.attenuation * falls)

    def located(self, strata: Integers, said: Floats) -> Floats:
        """Return where each observation is expected: its stratum's mean and, where it counts, what its prompt says."""
        return self.location[strata] + (said if self.scale.given_prompt else 0.0)

    def leaning(self, strata: Integers, said: Floats, lean: float) -> tuple[Floats, float]:
        """Return before each row, and after all, how far the recent rows' foretold mean lies from the window's.

        The average is `kinds.of_late`, and stood at *lean*.
        """
        before, after = of_late((said - self.foretold[strata])[:, None], np.array([lean]))
        return before[:, 0], float(after[0])


@dataclass(frozen=True, slots=True)
class Widths:
    """What widens the intervals of n observations, on the scale's axis; arrays (n,)."""

    over_time: Floats  # half of tau_t
    over_kinds: Floats  # 2 tau_g D_t
    wanders: Floats  # the least change that is told, and the root of both squares
    rises: Floats  # upwards, as far as the recent prompts let expect it
    falls: Floats


@dataclass(frozen=True, slots=True)
class Foretold:
    """What the prompts of n observations let expect; arrays (n,)."""

    strata: Integers  # rows of the `Null`
    said: Floats  # beyond the stratum's mean
    location: Floats
    spread: Floats
    lean: Floats  # how far the recent foretold mean lay from the window's
