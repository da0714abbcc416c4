"""What was asked in an entry of the log: what each subject's answer is expected to be, and how the mix has moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.domain.cohort import ALL, UNLABELLED
from monitor.domain.covariates import Covariates
from monitor.domain.observation import PlacedEntry
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import ANY_POLICY, Baseline, PromptLaw, SignalBaseline
from monitor.drift.design import Columns
from monitor.drift.kinds import Mix, distance
from monitor.drift.stream import Rows
from monitor.signals.input_shift import INPUT_SHIFT, VERSION
from monitor.stats.edetector import NullIntervals

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
FULL_STAKE = 1.5  # times its usual share up to which a kind's answers are bet on in full


@dataclass(frozen=True, slots=True)
class Moved:
    """How far the mix of prompts had moved before each subject; arrays over an entry's subjects."""

    distance: Floats  # D_t: Euclidean, beyond chance
    stakes: Floats  # 0 to 1: a kind that is asked too often of late counts no more than it used to


@dataclass(frozen=True, slots=True)
class Shift:
    """A stream of the input shift, and its part of an entry."""

    key: StreamKey
    rows: Rows
    distances: Floats
    mix: Mix  # after the entry


@dataclass(frozen=True, slots=True)
class Asked:
    """One entry's prompts under a baseline."""

    first_place: int
    columns: Columns | None
    moved: Mapping[str, Moved]  # by cohort; ALL: among all
    shifts: tuple[Shift, ...]

    def expected(self, law: SignalBaseline, places: int) -> tuple[Floats, Floats]:
        """Return what *law* expects of each of the entry's subjects: location and spread, (places,) both."""
        if self.columns is None:
            unknown = law.expectation
            return np.full(places, unknown.location_intercept), np.full(
                places, max(float(np.exp(unknown.log_spread_intercept)), unknown.least_spread)
            )
        return law.expectation(self.columns)

    def of_cohort(self, cohort: str, rows: Integers) -> tuple[Floats, Floats]:
        """Return distance and stakes of the entry's *rows* as the stream of *cohort* sees them."""
        moved = self.moved.get(cohort)
        if moved is None:
            return np.zeros(len(rows)), np.ones(len(rows))
        return moved.distance[rows], moved.stakes[rows]


def read_asked(entry: PlacedEntry, baseline: Baseline, mixes: Mapping[StreamKey, Mix]) -> Asked:
    """Read *entry*'s prompts; *mixes* are those before it, by the input shift's streams.

    Subjects of the baseline's window move nothing.
    """
    law = baseline.prompts
    if law is None or not entry.places:
        return Asked(entry.first_place, None, {}, ())
    known = entry.covariates or Covariates.unknown(entry.places)
    timestamps = np.zeros(entry.places, np.int64) if entry.timestamps is None else entry.timestamps
    columns = law.encoder.columns(known, timestamps)
    if law.kinds is None or not known.observed.any():
        return Asked(entry.first_place, columns, {}, ())
    kinds = law.kinds.of(law.encoder, columns, known)
    watched = known.observed & (np.arange(entry.places) + entry.first_place >= baseline.stop_place)
    moved: dict[str, Moved] = {}
    shifts = []
    for cohort in (ALL, *known.cohorts):
        own = watched if cohort == ALL else watched & (known.cohort_codes == known.cohorts.index(cohort))
        rows = np.flatnonzero(own)
        if not len(rows) or cohort == UNLABELLED or law.mix(cohort) is None:
            continue
        found, shift = _shift(law, cohort, kinds, rows, entry, mixes)
        moved[cohort] = found
        shifts.append(shift)
    return Asked(entry.first_place, columns, moved, tuple(shifts))


def shift_key(cohort: str) -> StreamKey:
    return StreamKey(INPUT_SHIFT.name, cohort, ANY_POLICY, VERSION)


def _shift(
    law: PromptLaw, cohort: str, kinds: Integers, rows: Integers, entry: PlacedEntry, mixes: Mapping[StreamKey, Mix]
) -> tuple[Moved, Shift]:
    usual = law.mix(cohort)
    assert usual is not None
    key = shift_key(cohort)
    own = kinds[rows]
    before, after = (mixes.get(key) or Mix(usual.usual)).after(own)
    far = distance(before, usual.usual)
    often = before[np.arange(len(rows)), own] / usual.usual[own]
    whole, stakes = np.zeros(entry.places), np.ones(entry.places)
    whole[rows], stakes[rows] = far, np.minimum(1.0, FULL_STAKE / np.maximum(often, 1e-9))
    seen = np.zeros((len(rows), len(usual.shares)))
    seen[np.arange(len(rows)), own] = 1.0
    centre, half = usual.usual, np.asarray(usual.half_width)
    ends = np.clip(centre + half, 0.0, 1.0)
    shape = (len(rows), 1, len(centre))
    null = NullIntervals(
        lower=np.broadcast_to(centre - half, shape),
        upper=np.broadcast_to(centre + half, shape),
        sd=np.broadcast_to(np.sqrt(ends * (1.0 - ends)), (len(rows), len(centre))),
        stakes=np.ones(len(rows)),
    )
    return Moved(whole, stakes), Shift(key, Rows(seen, null, rows + entry.first_place), far, after)
