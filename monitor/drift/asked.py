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
from monitor.drift.baseline import ANY_POLICY, Baseline, CohortMix, SignalBaseline
from monitor.drift.design import Columns
from monitor.drift.detector import DEFAULT, DETECTORS, Detector
from monitor.drift.expectation import MEAN
from monitor.drift.kinds import Mix, distance
from monitor.drift.stream import Rows
from monitor.signals.input_shift import INPUT_SHIFT, VERSION
from monitor.stats.edetector import NullIntervals

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
RANK_SD = 12.0**-0.5  # of a rank, which is uniform
NEAR, FARTHEST = 0.2, 0.6  # distances from which less is staked, and from which nothing is
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
    detector: Detector
    rows: Rows
    distances: Floats
    mix: Mix  # after the entry


@dataclass(frozen=True, slots=True)
class Asked:
    """One entry's prompts under a baseline."""

    columns: Columns | None
    moved: Moved | None
    shifts: tuple[Shift, ...]
    given: bool  # False: the log does not hold what was asked

    def expected(self, law: SignalBaseline, places: int) -> tuple[Floats, Floats]:
        """Return what *law* expects of each of the entry's subjects: location and spread, (places,) both."""
        if self.columns is None:
            unknown = law.expectation
            return np.full(places, unknown.location_intercept), np.full(
                places, max(float(np.exp(unknown.log_spread_intercept)), unknown.least_spread)
            )
        return law.expectation(self.columns)

    def of_rows(self, rows: Integers, law: SignalBaseline) -> tuple[Floats, Floats]:
        """Return how far each of the entry's *rows* lies, and what is staked on it, by the mix in its own cohort.

        Each bets against its own cohort's law, in the roll-up too, so a change in the mix of cohorts is nothing.
        Where *law* goes by the prompts and the log holds none of the entry's, it expects nothing to be bet on.
        """
        if not self.given and law.expectation.uses != MEAN:
            return np.zeros(len(rows)), np.zeros(len(rows))
        if self.moved is None:
            return np.zeros(len(rows)), np.ones(len(rows))
        return self.moved.distance[rows], self.moved.stakes[rows]


def read_asked(entry: PlacedEntry, baseline: Baseline, mixes: Mapping[StreamKey, Mix]) -> Asked:
    """Read *entry*'s prompts; *mixes* are those before it, by the input shift's streams.

    Subjects of the baseline's window move nothing.
    """
    law = baseline.prompts
    if law is None or not entry.places:
        return Asked(None, None, (), given=False)
    known = entry.covariates or Covariates.unknown(entry.places)
    timestamps = np.zeros(entry.places, np.int64) if entry.timestamps is None else entry.timestamps
    columns = law.encoder.columns(known, timestamps)
    if law.kinds is None or not known.observed.any():
        return Asked(columns, None, (), given=entry.covariates is not None)
    kinds = law.kinds.of(law.encoder, columns, known)
    watched = (
        known.observed & law.encoder.read(known) & (np.arange(entry.places) + entry.first_place >= baseline.stop_place)
    )
    gauges = [gauge.ranks(columns, known) for gauge in law.gauges]
    far, stakes, shifts = np.zeros(entry.places), np.ones(entry.places), []
    for cohort in (ALL, *known.cohorts):
        own = watched if cohort == ALL else watched & (known.cohort_codes == known.cohorts.index(cohort))
        rows, mix = np.flatnonzero(own), law.mix(cohort)
        if not len(rows) or mix is None or cohort == UNLABELLED:
            continue
        key = shift_key(cohort)
        before, after = (mixes.get(key) or Mix(mix.usual)).after(kinds[rows])
        far[rows] = distance(before, mix.usual)
        stakes[rows] = staked(before[np.arange(len(rows)), kinds[rows]] / mix.usual[kinds[rows]], far[rows])

        channels = np.column_stack((np.eye(len(mix.shares))[kinds[rows]], *(ranks[rows] for ranks in gauges)))
        detector = shift_detector(mix)
        follows = Rows.of(detector, channels, shift_null(mix, len(rows)), rows + entry.first_place)
        shifts.append(Shift(key, detector, follows, far[rows], after))
    return Asked(columns, Moved(far, stakes), tuple(shifts), given=True)


def staked(often: Floats, far: Floats) -> Floats:
    """Return the share of its stakes that is placed on each subject.

    A kind that is asked *often* times as often as it used to be counts no more than it used to; and the further
    the mix lies from the window's, the less the window says of what is expected.
    """
    near = np.clip((FARTHEST - far) / (FARTHEST - NEAR), 0.0, 1.0)
    return np.minimum(1.0, FULL_STAKE / np.maximum(often, 1e-9)) * near


def shift_key(cohort: str) -> StreamKey:
    return StreamKey(INPUT_SHIFT.name, cohort, ANY_POLICY, VERSION)


def shift_null(mix: CohortMix, rows: int) -> NullIntervals:
    """Return what the stream of the input shift bets against: the shares of the kinds, and the gauges' mean ranks."""
    centre, half = np.array((*mix.shares, *mix.gauges)), np.asarray(mix.half_width)
    ends = np.clip(centre + half, 0.0, 1.0)
    spread = np.sqrt(ends * (1.0 - ends))
    spread[len(mix.shares) :] = RANK_SD
    shape = (rows, 1, len(centre))
    return NullIntervals(
        lower=np.broadcast_to(centre - half, shape),
        upper=np.broadcast_to(centre + half, shape),
        sd=np.broadcast_to(spread, (rows, len(centre))),
        stakes=np.ones(rows),
    )


def shift_detector(mix: CohortMix) -> Detector:
    """Return what follows the mix of prompts, half for the kinds and half for the gauges: told, it never pages."""
    kinds = tuple(1.0 / len(mix.shares) for _ in mix.shares)
    return DETECTORS[DEFAULT](kinds + tuple(1.0 / len(mix.gauges) for _ in mix.gauges), 1)
