"""Whether the scorer has changed: fixed pairs, scored again, beside their first scores.

The same scorer gives the same pair the same score, but for the rounding of another batch, machine or precision. So a
scoring is compared with the first one pair by pair, and no baseline, window or detector is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Alarm, Direction, Effect, ScorerVerdict, Severity
from monitor.domain.anchor import MIN_ANCHORS, subject_of
from monitor.domain.cohort import ALL
from monitor.domain.observation import ObservationBatch, PlacedEntry, Series
from monitor.domain.signal import ANCHOR_FIRST_REWARD, ANCHOR_REWARD, DISAGREEMENT, REWARD
from monitor.domain.stream import StreamKey

JUDGED = frozenset({REWARD.name, DISAGREEMENT.name, "reward_win"})  # signals whose alarms are asked: scorer or policy?
PAIR_FACTOR = 2.0  # a single pair may move by more than their mean
TINY = 1e-9  # of the scores' size: less is no spread
EXAMPLES = 5
UNIT = "sd of the anchors' rewards"
STANDARD_ERRORS = 2.0  # of the mean over pairs, in the interval that is shown


@dataclass(frozen=True, slots=True)
class AnchorShift:
    """How far one scoring lies from the reference, in the reference's standard deviation over the pairs."""

    pairs: int
    mean: float
    error: float  # standard error of `mean` over pairs
    root_mean_square: float  # of the pairs' differences
    telling: tuple[int, ...] = ()  # the pairs that moved most, the first the most

    def excess(self, tolerance: float) -> float:
        """Return how much of what rounding may do this is: more than 1 is another scorer.

        Rounding goes up for one pair and down for another, so their mean may move by *tolerance* standard deviations,
        and a pair by twice that, as the root mean square tells.

        Guarantee
        ---------
        While no pair's score differs from its first by more than *tolerance* standard deviations, this is at most 1,
        however often it is asked: the bound holds for every scoring, so nothing adds up over them.
        """
        return max(abs(self.mean), self.root_mean_square / PAIR_FACTOR) / tolerance

    def has_moved(self, tolerance: float) -> bool:
        return self.excess(tolerance) > 1.0

    def __str__(self) -> str:
        return f"{self.mean:+.3f} sd on average, {self.root_mean_square:.3f} sd root mean square, {self.pairs} pairs"


@dataclass(frozen=True, slots=True)
class Look:
    """One scoring of the set, at its places in the log."""

    first_place: int
    stop_place: int  # exclusive
    at: datetime
    shift: AnchorShift


@dataclass(frozen=True, slots=True)
class AnchorHistory:
    """What one series of the anchor set has come to since its first scores.

    The first scores hold from `holds_from` on: a scorer that changed before that place is not seen.
    """

    series: Series
    holds_from: int
    begun_at: datetime
    reference: NDArray[np.float64]  # by pair, NaN where it had no score
    scored_at: datetime
    scorings: int = 1
    looks: tuple[Look, ...] = ()

    @classmethod
    def begin(cls, entry: PlacedEntry, batch: ObservationBatch, *, window_stop: int) -> AnchorHistory:
        """Begin with the first scoring: against the pairs' scores as traces of the window, where it brings them."""
        first = [
            other
            for other in entry.observations
            if other.series == replace(batch.series, signal=ANCHOR_FIRST_REWARD.name)
        ]
        if not first:
            return cls(batch.series, entry.first_place, entry.at, by_pair(entry, batch), entry.at)
        begun = cls(batch.series, window_stop, entry.at, by_pair(entry, first[0]), entry.at, scorings=0)
        return begun.then(entry, batch)

    def then(self, entry: PlacedEntry, batch: ObservationBatch) -> AnchorHistory:
        """Return the history with a further scoring; one that shares too few pairs with the first has no look."""
        shift = shift_between(self.reference, by_pair(entry, batch))
        looks = self.looks
        if shift is not None:
            looks = (*looks, Look(entry.first_place, entry.first_place + entry.places, entry.at, shift))
        return replace(self, scored_at=entry.at, scorings=self.scorings + 1, looks=looks)

    @property
    def shift(self) -> AnchorShift | None:
        """How far the last scoring lies from the first; None where there is none since."""
        return self.looks[-1].shift if self.looks else None

    @property
    def stream(self) -> StreamKey:
        return StreamKey(ANCHOR_REWARD.name, ALL, self.series.policy_model, self.series.scorer_version)

    def episodes(self, tolerance: float) -> tuple[int, tuple[Look, ...]]:
        """Return how often the scorer had moved and come back, and the looks since it last moved; none: it stands."""
        moved = [look.shift.has_moved(tolerance) for look in self.looks]
        ended = sum(before and not after for before, after in pairwise(moved))
        still = [number for number, has_moved in enumerate(moved) if not has_moved]
        return ended, self.looks[still[-1] + 1 if still else 0 :]

    def alarm(self, tolerance: float) -> Alarm | None:
        """Return the alarm of a scorer that stands moved now; the same one, whenever it is asked for."""
        episode, moved = self.episodes(tolerance)
        if not moved:
            return None
        decided = moved[0]
        before = self.looks[: len(self.looks) - len(moved)]
        shift, slack = decided.shift, STANDARD_ERRORS * decided.shift.error
        return Alarm(
            stream=self.stream,
            direction=Direction.UP if shift.mean >= 0 else Direction.DOWN,
            severity=Severity.ALERT,
            place=decided.stop_place - 1,
            trace_id=None,
            timestamp=decided.at,
            onset_place=before[-1].stop_place - 1 if before else self.holds_from,
            onset_timestamp=before[-1].at if before else self.begun_at,
            observations=sum(look.shift.pairs for look in (*before, decided)),
            evidence_log=shift.excess(tolerance),
            effect=Effect(shift.mean, shift.mean - slack, shift.mean + slack, UNIT),
            examples=tuple(map(subject_of, shift.telling)),
            episode=episode,
            detail=f"by the same scorer version the anchor set now scores otherwise than at first: {shift}",
        )


@dataclass(frozen=True, slots=True)
class ScorerFinding:
    verdict: ScorerVerdict
    note: str  # what it rests on, for people


def by_pair(entry: PlacedEntry, batch: ObservationBatch) -> NDArray[np.float64]:
    """Return the values of *batch*, one a subject of its entry; NaN where there is none."""
    values = np.full(entry.places, np.nan)
    values[batch.places - entry.first_place] = batch.values
    return values


def shift_between(reference: NDArray[np.float64], again: NDArray[np.float64]) -> AnchorShift | None:
    """Compare the pairs that have a score in both; None where they are too few.

    >>> shift_between(np.arange(8.0), np.arange(8.0) + 0.1).mean
    0.0436...
    """
    shared = np.isfinite(reference) & np.isfinite(again) if len(reference) == len(again) else np.zeros(0, bool)
    pairs = int(shared.sum())
    if pairs < MIN_ANCHORS:
        return None
    first = reference[shared]
    sd = max(float(first.std()), TINY * max(float(np.abs(first).max()), 1.0))
    moved = (again[shared] - first) / sd
    return AnchorShift(
        pairs=pairs,
        mean=float(moved.mean()),
        error=float(moved.std(ddof=1)) / pairs**0.5,
        root_mean_square=float(np.sqrt((moved**2).mean())),
        telling=tuple(np.flatnonzero(shared)[np.argsort(-np.abs(moved), kind="stable")[:EXAMPLES]].tolist()),
    )


def extend(
    histories: dict[Series, AnchorHistory], entry: PlacedEntry, *, window_stop: int
) -> dict[Series, AnchorHistory]:
    """Return *histories* with what *entry* tells of them."""
    found = dict(histories)
    for batch in entry.observations:
        if batch.series.signal == ANCHOR_REWARD.name:
            known = found.pop(batch.series, None)  # the series that was scored last stands last
            found[batch.series] = (
                AnchorHistory.begin(entry, batch, window_stop=window_stop)
                if known is None
                else known.then(entry, batch)
            )
    return found


def decide_scorer_verdict(alarm: Alarm, histories: Iterable[AnchorHistory], tolerance: float) -> ScorerFinding:
    """Say whether an alarm on rewards is the scorer's doing, as the anchor set tells.

    What counts are the scorings between the alarm's onset and the first one after it was decided; where there is none,
    the last one before. The scorer has changed if one of them moved. The policy has changed if the set was scored
    since the onset and stood still, and its first scores are from before.
    """
    findings = [
        _finding(alarm, history, tolerance)
        for history in histories
        if history.series.scorer_version == alarm.stream.scorer_version
    ]
    order = (ScorerVerdict.SCORER_CHANGED, ScorerVerdict.POLICY_CHANGED, ScorerVerdict.UNDECIDED)
    nothing = ScorerFinding(ScorerVerdict.UNDECIDED, "this scorer has no anchor set that was scored")
    return min(findings, key=lambda finding: order.index(finding.verdict), default=nothing)


def _finding(alarm: Alarm, history: AnchorHistory, tolerance: float) -> ScorerFinding:
    before = [look for look in history.looks if look.first_place <= alarm.onset_place]
    since = [look for look in history.looks if look.first_place > alarm.onset_place]
    after = next((number for number, look in enumerate(since) if look.first_place > alarm.place), len(since) - 1)
    since = since[: after + 1]
    moved = [look for look in since or before[-1:] if look.shift.has_moved(tolerance)]
    if moved:
        return ScorerFinding(ScorerVerdict.SCORER_CHANGED, _changed_note(alarm, moved[-1]))
    if since and history.holds_from <= alarm.onset_place:
        told = f"{since[-1].at:%Y-%m-%d %H:%M:%SZ}: {since[-1].shift}; a mean of {tolerance:g} sd is rounding"
        times = "once" if len(since) == 1 else f"{len(since)} times"
        return ScorerFinding(ScorerVerdict.POLICY_CHANGED, f"the anchor set, scored {times} since the onset, at {told}")
    if since:
        return ScorerFinding(ScorerVerdict.UNDECIDED, "the anchor set was scored for the first time after the onset")
    return ScorerFinding(ScorerVerdict.UNDECIDED, "the anchor set has not been scored since the onset")


def _changed_note(alarm: Alarm, look: Look) -> str:
    sign = -1.0 if alarm.direction is Direction.DOWN else 1.0
    along = sign * look.shift.mean
    told = f"the anchor set, scored at {look.at:%Y-%m-%d %H:%M:%SZ}, lies {look.shift} from its first scores"
    if alarm.stream.signal == DISAGREEMENT.name:
        return told
    if along + STANDARD_ERRORS * look.shift.error < 0:
        return f"{told}: {along:+.3f} sd in the alarm's direction, so the policy moved in spite of it"
    return f"{told}: {along:+.3f} sd in the alarm's direction"
