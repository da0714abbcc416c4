"""What a stream bets against: the null interval of each observation, in the tiers of severity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.domain.cohort import ALL
from monitor.drift.baseline import SignalBaseline, Stratum
from monitor.drift.detector import DEFAULT, DETECTORS, Detector
from monitor.drift.scale.law import WindowLaw
from monitor.drift.scale.table import Scale
from monitor.drift.stream import TIERS
from monitor.stats.edetector import NullIntervals

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
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
    steady: bool  # False: the window's own blocks moved by more than is accepted, so no page can be trusted

    @classmethod
    def of(cls, law: SignalBaseline, strata: Mapping[str, Stratum], cohort: str) -> Null:
        """Return what the stream of *cohort* bets against; ALL: every cohort against its own stratum."""
        rollup = cohort == ALL
        chosen = list(strata.values()) if rollup else [strata[cohort]]
        return cls(
            scale=law.scale,
            law=law.law(),
            rows={row.cohort: number for number, row in enumerate(chosen)},
            detector=DETECTORS[law.detector](law.scale.weights, len(TIERS)),
            location=np.array([row.location for row in chosen]),
            tolerance_up=np.array([row.tolerance_up for row in chosen]),
            tolerance_down=np.array([row.tolerance_down for row in chosen]),
            wander=np.array([row.wander for row in chosen]),
            kind_wander=law.kind_wander,
            offset=np.array([row.channel_offset for row in chosen]),
            half_width=np.array([row.rollup_half_width if rollup else row.half_width for row in chosen]),
            sd=np.array([row.channel_sd for row in chosen]),
            steady=all(row.steady for row in chosen),
        )

    def intervals(
        self, strata: Integers, location: Floats, spread: Floats, *, distance: Floats, stakes: Floats
    ) -> NullIntervals:
        """Return the null intervals of n observations: h = z se + tolerance + tau_t + 2 tau_g D_t.

        Arrays of shape (n,): the rows of *strata*, the location and the spread expected, the mix's
        *distance* before each, and the share of the *stakes* that is placed.
        """
        if not self.scale.given_prompt:
            location = self.location[strata]
        width = self.widths(strata, distance)
        centre, half = self.offset[strata], self.half_width[strata]
        upper, lower = [], []
        for up, down in ((0.0, 0.0), (self.tolerance_up[strata], self.tolerance_down[strata])):
            upper.append(self.scale.expected(location, spread, width + up, self.law) + centre + half)
            lower.append(self.scale.expected(location, spread, -(width + down), self.law) + centre - half)
        return NullIntervals(np.stack(lower, axis=1), np.stack(upper, axis=1), self.sd[strata], stakes)

    def widths(self, strata: Integers, distance: Floats) -> Floats:
        """Return the half width (n,) on the axis that is not tolerance and not the window's own error."""
        return self.scale.least + self.wander[strata] + DISTANCES * self.kind_wander * distance


def shift_detector(kinds: int) -> Detector:
    """Return what follows the shares of so many kinds of prompts: it is told, and never pages."""
    return DETECTORS[DEFAULT]((1.0,) * kinds, 1)
