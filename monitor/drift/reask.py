"""What asking the released policy again says of an alarm: which prompts, how a pair is measured, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from monitor.domain.alarm import Direction, ReferenceVerdict
from monitor.domain.cohort import ALL
from monitor.domain.observation import ObservationBatch
from monitor.domain.reference import AnswerOutcome, Figure, Measured, Pair
from monitor.domain.signal import REWARD
from monitor.domain.stream import StreamKey
from monitor.domain.trace import TokenSource
from monitor.drift.tolerance import Tolerance, tolerance_of
from monitor.signals.length import RESPONSE_LENGTH
from monitor.signals.refusal import REFUSAL
from monitor.stats.paired import Channel, Finding, Floats, difference_interval, judge_pairs

LOG_RATIO_LIMIT = 1.0  # log ratios of lengths are clipped here: a refusal beside an essay says no more than that
TAIL = 0.01  # share of the baseline's window that lies in its tail
TAIL_WEIGHT = 0.25
WIDEST = 0.5  # of the range of a measure's differences, which no tolerance exceeds
CHOSEN_SHARE = 0.5  # of the prompts that are asked, at most: those of the window that raised the alarm count for less


@dataclass(frozen=True, slots=True)
class Background:
    """What the log says of an alarm's signal, beside its pairs."""

    mean: float  # in the baseline's window
    spread: float  # standard deviation, likewise
    tail_from: float  # where a tail begins, on the alarm's side
    tail_share: float  # of production's answers since the onset that lie in it


@dataclass(frozen=True, slots=True)
class PairTolerance:
    """How much the two policies may differ before anybody minds: what the signals' tolerances are in pairs."""

    chosen: Mapping[str, Tolerance] | None = None  # by signal; others have their kind's default
    tail: float = 0.02  # of all answers; or
    tail_ratio: float = 1.0 / 3.0  # of those that lie in it, where that is more

    def log_ratio(self, was: Background) -> float:
        """Return the largest difference of two log lengths."""
        accepted = tolerance_of(RESPONSE_LENGTH, self.chosen)
        ratio = max(accepted.share, accepted.points / max(was.mean, 1.0))
        return min(float(np.log1p(ratio)), WIDEST * LOG_RATIO_LIMIT)

    def refusals(self, was: Background) -> float:
        """Return the largest difference of two rates."""
        accepted = tolerance_of(REFUSAL, self.chosen)
        return min(max(accepted.points, accepted.share * was.mean), WIDEST)

    def win_rate(self, was: Background) -> float:
        """Return how far from one half: Phi(d / sqrt 2) - 1/2 of two draws from one spread that are d of it apart."""
        accepted = tolerance_of(REWARD, self.chosen)
        spreads = max(accepted.points, accepted.share * abs(was.mean) / was.spread if was.spread > 0.0 else 0.0)
        return min(float(ndtr(spreads / np.sqrt(2.0))) - 0.5, 0.5 * WIDEST)


class Measure(Protocol):
    """How one signal differs between the two answers of a pair."""

    def channels(self, pairs: Sequence[Pair], question: Question) -> list[Channel]:
        """Return the ways to measure it, the main one first; NaN where a pair cannot be had."""
        ...

    def figure(self, estimate: float) -> float:
        """Return the main channel's mean difference in `unit`."""
        ...

    unit: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about the pairs of one alarm."""

    stream: StreamKey
    direction: Direction
    observations: int  # of the stream, since the baseline: the window was chosen among all that end in them
    background: Background
    tolerance: PairTolerance
    alpha: float

    @property
    def up(self) -> bool:
        return self.direction is Direction.UP

    def tail(self, old: Floats, new: Floats) -> list[Channel]:
        """Return the channel of the tail, where production's answers have one that they had not before."""
        excess, tolerance = self.background.tail_share - TAIL, self.tolerance.tail
        if excess <= tolerance:
            return []
        sign = 1.0 if self.up else -1.0
        start = sign * self.background.tail_from
        beyond = (sign * old > start).astype(float) - (sign * new > start).astype(float)
        missing = np.isnan(old) | np.isnan(new)
        width = max(tolerance, self.tolerance.tail_ratio * self.background.tail_share)
        return [Channel(np.where(missing, np.nan, sign * beyond), 1.0, width, TAIL_WEIGHT)]


class LengthMeasure:
    """The logarithm of the ratio; both sides in the same unit and under the same limit."""

    unit = "%"

    def channels(self, pairs: Sequence[Pair], question: Question) -> list[Channel]:
        """Tokens where both producers report them, words of both texts elsewhere.

        An answer that a limit cut says only that it was at least so long. Where production cuts, the other side is
        cut alike; where only the reference was cut, the pair cannot be had.
        """
        old, new = compared_lengths(pairs)
        body = Channel(log_ratios(pairs), LOG_RATIO_LIMIT, question.tolerance.log_ratio(question.background))
        if not question.up:
            return [body]
        # The tail begins at a number of the stream's own unit; in another one it cannot be seen.
        in_tokens = np.array([pair.old is not None and _reported(pair) for pair in pairs], dtype=bool)
        comparable = in_tokens == (question.stream.scorer_version == TokenSource.REPORTED)
        if question.stream.scorer_version == TokenSource.TOKENIZER:
            comparable = np.zeros(len(pairs), dtype=bool)
        return [body, *question.tail(np.where(comparable, old, np.nan), np.where(comparable, new, np.nan))]

    def figure(self, estimate: float) -> float:
        return 100.0 * float(np.expm1(estimate))


class RefusalMeasure:
    """One if production alone refused, minus one if the released policy alone did."""

    unit = "points"

    def channels(self, pairs: Sequence[Pair], question: Question) -> list[Channel]:
        differences = [
            np.nan if pair.old is None or pair.new is None else float(pair.old.refused) - float(pair.new.refused)
            for pair in pairs
        ]
        return [Channel(np.array(differences), 1.0, question.tolerance.refusals(question.background))]

    def figure(self, estimate: float) -> float:
        return 100.0 * estimate


class RewardMeasure:
    """Which answer the reward model prefers: one for production's, minus one for the released policy's."""

    unit = "points of win rate"

    def channels(self, pairs: Sequence[Pair], question: Question) -> list[Channel]:
        rewards = np.array([(_reward(pair.old), _reward(pair.new)) for pair in pairs]).reshape(-1, 2)
        cut = np.array([pair.outcome is AnswerOutcome.CUT for pair in pairs], dtype=bool)
        old, new = np.where(cut[:, None], np.nan, rewards).T
        body = Channel(np.sign(old - new), 1.0, 2.0 * question.tolerance.win_rate(question.background))
        return [body, *question.tail(old, new)]

    def figure(self, estimate: float) -> float:
        return 50.0 * estimate


MEASURES: Mapping[str, Measure] = {
    RESPONSE_LENGTH.name: LengthMeasure(),
    REFUSAL.name: RefusalMeasure(),
    REWARD.name: RewardMeasure(),
}


def judge(pairs: Sequence[Pair], question: Question) -> ReferenceVerdict | None:
    """Judge *pairs*, in the order in which their prompts were chosen, as far as all of them are answered.

    In the order in which the answers came, short ones would be first. The alarm's own signal decides.
    Return None where it is not known yet.
    """
    read = read_pairs(pairs)
    judged = judge_pairs(
        MEASURES[question.stream.signal].channels(read, question),
        up=question.up,
        alpha=question.alpha,
        chosen=np.array([pair.chosen for pair in read], dtype=bool),
        log_choices=float(2.0 * np.log(max(question.observations, 2)) - np.log(2.0)),
    )
    verdicts = {Finding.BEYOND: ReferenceVerdict.POLICY_CHANGED, Finding.WITHIN: ReferenceVerdict.TRAFFIC_CHANGED}
    return verdicts.get(judged.finding)


def read_pairs(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs up to the first that waits for its answer, without those that only their prompts prevented."""
    stop = next((number for number, pair in enumerate(pairs) if pair.outcome is None), len(pairs))
    return [pair for pair in pairs[:stop] if pair.outcome is not None and not pair.outcome.is_skipped]


def figures_of(pairs: Sequence[Pair], question: Question) -> Iterable[Figure]:
    """Yield how each signal differs, the alarm's own first, where there are pairs that tell."""
    own = question.stream.signal
    for signal in sorted(MEASURES, key=lambda name: name != own):
        measure = MEASURES[signal]
        main = measure.channels(pairs, question)[0]
        seen = main.differences[np.isfinite(main.differences)]
        if len(seen):
            interval = difference_interval(main)
            ends = measure.figure(interval.lower), measure.figure(interval.upper)
            yield Figure(signal, len(seen), measure.figure(float(seen.mean())), *ends, measure.unit)


def note_of(pairs: Sequence[Pair], question: Question) -> str:
    """Tell on one line how production differs from the released policy on the same prompts, and what was not had."""
    read = read_pairs(pairs)
    told = [
        f"{one.signal} {one.estimate:+.1f} [{one.lower:+.1f}, {one.upper:+.1f}] {one.unit} in {one.pairs} pairs"
        for one in figures_of(read, question)
    ]
    outcomes = Counter(pair.outcome for pair in pairs if pair.outcome not in {None, AnswerOutcome.ANSWERED})
    missing = [f"{count} {outcome}" for outcome, count in sorted(outcomes.items(), key=str)]
    return "; ".join([*told, *missing]) or "no pair of answers"


def choose_prompts(
    places: NDArray[np.int64], *, decided_at: int, taken: Collection[int], chosen_room: int, count: int
) -> list[tuple[int, bool]]:
    """Choose at most *count* of *places* to ask again, each with whether it lies in the alarm's own window.

    Those after the alarm's decision (*decided_at*) come first: their answers had no part in it. Among each kind
    a place's own hash decides, so the choice is spread over all of them, and is the same whoever makes it.
    """
    free = places[~np.isin(places, np.fromiter(taken, dtype=np.int64, count=len(taken)))]
    ordered = free[np.argsort(scrambled(free), kind="stable")]
    fresh = ordered[ordered > decided_at][:count]
    room = 0 if len(fresh) else min(count, chosen_room)
    leaning = ordered[ordered <= decided_at][:room]
    return [(int(place), False) for place in fresh] + [(int(place), True) for place in leaning]


def scrambled(places: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a hash of each place (splitmix64's last step)."""
    mixed = (places.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def background_of(window: Iterable[ObservationBatch], since: Floats, *, stream: StreamKey, up: bool) -> Background:
    """Sum up the baseline's *window*, whichever policy model it saw, and production's values *since* the onset.

    The tail begins where the window's does, moved as far as the median has moved: if all answers grew alike, there
    are no more in it than before, and the main measure tells all.
    """
    values = [
        batch.values if stream.cohort == ALL else batch.values[batch.cohort_names() == stream.cohort]
        for batch in window
        if (batch.series.signal, batch.series.scorer_version) == (stream.signal, stream.scorer_version)
    ]
    before = np.concatenate(values) if values else np.empty(0)
    if not len(before) or not len(since):
        return Background(0.0, 0.0, 0.0, 0.0)
    forth, back = (np.log1p, np.expm1) if stream.signal == RESPONSE_LENGTH.name else (np.positive, np.positive)
    moved = np.median(forth(since)) - np.median(forth(before))
    tail_from = float(back(np.quantile(forth(before), 1.0 - TAIL if up else TAIL) + moved))
    share = float(np.mean(since > tail_from if up else since < tail_from))
    return Background(float(before.mean()), float(before.std()), tail_from, share)


def log_ratios(pairs: Sequence[Pair]) -> Floats:
    """Return each pair's clipped logarithm of production's length over the reference's; NaN where it cannot be had."""
    old, new = compared_lengths(pairs)
    return np.asarray(np.clip(np.log1p(old) - np.log1p(new), -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT))


def compared_lengths(pairs: Sequence[Pair]) -> tuple[Floats, Floats]:
    """Return both lengths of each pair, in one unit and under one limit: the longest of production's that was cut."""
    cuts = [pair.old.tokens for pair in pairs if pair.old and pair.old.cut and pair.old.tokens is not None]
    limit = max(cuts, default=None)
    lengths = np.array([_lengths(pair, limit) for pair in pairs], dtype=np.float64).reshape(-1, 2)
    return lengths[:, 0], lengths[:, 1]


def _lengths(pair: Pair, limit: int | None) -> tuple[float, float]:
    old, new = pair.old, pair.new
    if old is None or new is None:
        return np.nan, np.nan
    if not _reported(pair):
        return (np.nan, np.nan) if old.cut or new.cut else (float(old.words), float(new.words))
    assert old.tokens is not None
    assert new.tokens is not None
    if new.cut and (limit is None or new.tokens < limit):
        return np.nan, np.nan
    ceiling = np.inf if limit is None else limit
    return float(min(old.tokens, ceiling)), float(min(new.tokens, ceiling))


def _reported(pair: Pair) -> bool:
    return pair.old is not None and pair.new is not None and None not in (pair.old.tokens, pair.new.tokens)


def _reward(measured: Measured | None) -> float:
    return np.nan if measured is None or measured.reward is None else measured.reward
