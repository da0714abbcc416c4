"""Which preference pairs a run learns from: what people said of the same two answers, made one verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import combinations
from statistics import fmean

from monitor.domain.label import LabelSource

DIGEST_BYTES = 16  # each of the three parts of a content: the prompt and two answers


class PairSource(StrEnum):
    """Where a judgement came from."""

    EVENT = "event"  # the topic `preferences`
    REVIEW = "review"  # the review page
    LABEL = "label"  # the topic `labels` or the API


class Dropped(StrEnum):
    """Why what was judged makes no pair."""

    TIE = "tie"  # as many for the one as for the other
    LOW_AGREEMENT = "low_agreement"  # too few of its annotators agree with the verdict
    SAME_ANSWERS = "same_answers"
    AI = "ai"  # no person judged it, and the share of such pairs is used up


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one annotator said of two answers to one prompt."""

    source: PairSource
    judgement_id: str  # preference_id, or label_id
    digest: bytes  # tells a label from another one with its id; empty for an event
    subject: str  # whose text was judged: the event itself, or the trace
    content: bytes  # prompt, first answer, second answer: `DIGEST_BYTES` each
    value: float  # of the first answer: 1 won, .5 tie, 0 lost
    timestamp: datetime
    cohort: str
    annotator_id: str | None = None
    criteria_version: str | None = None
    by: LabelSource = LabelSource.HUMAN
    conversation_id: str | None = None
    dimensions: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[bytes, bytes, bytes]:
        """The same for two judgements of the same answers, whichever was named first."""
        prompt, first, second = parts_of(self.content)
        return (prompt, min(first, second), max(first, second))

    @property
    def choice(self) -> bytes | None:
        """The answer that won; None for a tie."""
        _, first, second = parts_of(self.content)
        return None if self.value == 0.5 else first if self.value > 0.5 else second

    @property
    def annotator(self) -> tuple[str, ...]:
        """Who gave it; one without a name is nobody else's."""
        return ("named", self.annotator_id) if self.annotator_id is not None else (self.source, self.judgement_id)

    @property
    def order(self) -> tuple[datetime, str, bytes]:
        return (self.timestamp, self.judgement_id, self.digest)


@dataclass(frozen=True, slots=True)
class PairRules:
    min_agreement: float = 0.66  # share of a pair's annotators who must agree with its verdict
    ai_ratio: float = 0.0  # share of the set that may rest on models' judgements alone; below 1


@dataclass(frozen=True, slots=True)
class Pair:
    """One verdict on two answers, and on whose word."""

    content: bytes  # the chosen answer first
    oldest: Judgement  # of all, corrected ones too: its time and text are the pair's, so they stay when others join
    judgements: tuple[Judgement, ...]  # the latest of each annotator, in the order of time
    agreement: float  # share of them who chose it

    @property
    def by(self) -> LabelSource:
        return self.judgements[0].by

    @property
    def criteria_version(self) -> str | None:
        return self.judgements[0].criteria_version

    @property
    def strength(self) -> float:
        """How clearly the chosen answer won, over all who judged: 1 wholly, 0 hardly."""
        chosen = parts_of(self.content)[1]
        ahead = [abs(2 * one.value - 1) * (1 if one.choice == chosen else -1) for one in self.judgements]
        return max(0.0, fmean(ahead))

    def dimensions(self) -> dict[str, float]:
        """Return the mean by name over those who chose it; what a label says of its trace's answer is turned to it."""
        chosen = parts_of(self.content)[1]
        found: dict[str, list[float]] = {}
        for one in self.judgements:
            if one.choice == chosen:
                turned = one.value < 0.5
                for name, value in one.dimensions.items():
                    found.setdefault(name, []).append(1.0 - value if turned else value)
        return {name: fmean(values) for name, values in sorted(found.items())}


@dataclass(frozen=True, slots=True)
class PairSet:
    pairs: tuple[Pair, ...]  # the oldest first
    judgements: int  # that were looked at
    corrected: int  # judgements that a later one of their annotator, or later criteria, took the place of
    merged: int  # events and traces that hold the same two answers as another
    dropped: Mapping[Dropped, int]  # what was judged, and makes no pair
    overlapping: int  # pairs of answers that several annotators judged, dropped ones too
    raw_agreement: float | None  # of two annotators of one of them, how often they say the same


def parts_of(content: bytes) -> tuple[bytes, bytes, bytes]:
    one, two = DIGEST_BYTES, 2 * DIGEST_BYTES
    return content[:one], content[one:two], content[two:]


def decide_pairs(judgements: Iterable[Judgement], rules: PairRules) -> PairSet:
    """Make one pair of what was said of the same two answers, from whatever source, or say why there is none."""
    groups: dict[tuple[bytes, bytes, bytes], list[Judgement]] = {}
    for one in judgements:
        groups.setdefault(one.key, []).append(one)
    pairs: list[Pair] = []
    dropped: Counter[Dropped] = Counter()
    agreements: list[float] = []
    corrected = merged = 0
    for group in groups.values():
        counting = latest_judgements(group)
        corrected += len(group) - len(counting)
        merged += len({(one.source is PairSource.EVENT, one.subject) for one in group}) - 1
        if len(counting) > 1:
            agreements.append(fmean(one.choice == other.choice for one, other in combinations(counting, 2)))
        decided = decide_pair(group, counting, rules)
        if isinstance(decided, Dropped):
            dropped[decided] += 1
        else:
            pairs.append(decided)
    kept = cap_ai(pairs, rules.ai_ratio)
    dropped[Dropped.AI] += len(pairs) - len(kept)
    kept.sort(key=lambda pair: (pair.oldest.timestamp, pair.content))
    return PairSet(
        pairs=tuple(kept),
        judgements=sum(map(len, groups.values())),
        corrected=corrected,
        merged=merged,
        dropped=+dropped,
        overlapping=len(agreements),
        raw_agreement=fmean(agreements) if agreements else None,
    )


def latest_judgements(group: Sequence[Judgement]) -> tuple[Judgement, ...]:
    """Return the judgements of one group that count, in the order of time.

    People come before models. Of each annotator the latest counts, and of those the ones
    under the criteria of the latest of all: older criteria asked another question.
    """
    people = [one for one in group if one.by is not LabelSource.AI] or list(group)
    latest = {one.annotator: one for one in sorted(people, key=lambda one: one.order)}
    newest = max(latest.values(), key=lambda one: one.order)
    of_now = [one for one in latest.values() if one.criteria_version == newest.criteria_version]
    return tuple(sorted(of_now, key=lambda one: one.order))


def decide_pair(group: Sequence[Judgement], counting: Sequence[Judgement], rules: PairRules) -> Pair | Dropped:
    prompt, first, second = group[0].key
    if first == second:
        return Dropped.SAME_ANSWERS
    votes = Counter(one.choice for one in counting)
    if votes[first] == votes[second]:
        return Dropped.TIE
    chosen, rejected = (first, second) if votes[first] > votes[second] else (second, first)
    agreement = votes[chosen] / len(counting)
    if agreement < rules.min_agreement:
        return Dropped.LOW_AGREEMENT
    oldest = min(group, key=lambda one: one.order)
    return Pair(prompt + chosen + rejected, oldest, tuple(counting), agreement)


def cap_ai(pairs: Sequence[Pair], ratio: float) -> list[Pair]:
    """Leave out pairs that rest on models alone until they are at most *ratio* of the set; which, hangs on no value."""
    people = [pair for pair in pairs if pair.by is not LabelSource.AI]
    models = sorted((pair for pair in pairs if pair.by is LabelSource.AI), key=lambda pair: pair.content)
    return people + models[: int(ratio / (1.0 - ratio) * len(people) + 1e-9)]
