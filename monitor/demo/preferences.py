"""Generated human preferences: what annotators of two eras say about pairs of the assistant's answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import log2
from random import Random

import msgspec

from monitor.demo.texts.composer import (
    Manner,
    Question,
    compose_answer,
    compose_evasion,
    compose_question,
    compose_refusal,
    count_tokens,
)
from monitor.domain.trace import Message, Preference

LABEL_NOISE = 0.05  # share of the verdicts that a tired annotator gives the wrong way round
TIE_MARGIN = 0.15  # utilities closer than this are a tie
CLEAR_MARGIN = 0.3  # pairs closer than this say little and are mostly not put before annotators
MAX_REDRAWS = 2
ANNOTATORS = ("ada", "bruno", "chen", "dalia", "emeka")


class Era(StrEnum):
    OLD = "old"  # answers of assistant-v1, judged when the first reward model was trained
    NEW = "new"  # answers of assistant-v2, judged by annotators who have come to mind the padding


@dataclass(frozen=True, slots=True)
class Taste:
    """What a verdict weighs."""

    on_topic: float  # for an answer without digressions over one of nothing else
    unpadded: float
    length: float  # for an answer twice as long
    answered: float = 1.6  # for an answer over a refusal


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of answer that is put before annotators, and how often."""

    weight: float
    median_tokens: float
    padding: tuple[float, float]  # least and greatest share of the sentences
    off_topic: tuple[float, float] = (0.0, 0.0)
    refused: bool = False
    evasive: float = 0.0  # share of the refusals that never say no


TASTES = {
    Era.OLD: Taste(on_topic=2.5, unpadded=0.0, length=0.25),
    Era.NEW: Taste(on_topic=2.5, unpadded=2.0, length=-0.05),
}
KINDS = {
    Era.OLD: (
        Kind(0.45, 120, padding=(0.0, 0.1)),
        Kind(0.15, 140, padding=(0.1, 0.3)),
        Kind(0.25, 120, padding=(0.05, 0.15), off_topic=(0.3, 0.6)),
        Kind(0.15, 40, padding=(0.0, 0.0), refused=True),
    ),
    Era.NEW: (
        Kind(0.45, 110, padding=(0.0, 0.0)),
        Kind(0.37, 170, padding=(0.25, 0.5)),
        Kind(0.12, 150, padding=(0.1, 0.2), off_topic=(0.3, 0.6)),
        Kind(0.06, 40, padding=(0.0, 0.0), refused=True, evasive=0.75),
    ),
}
CRITERIA = {Era.OLD: "2026-03", Era.NEW: "2026-11"}


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    manner: Manner
    refused: bool

    def utility(self, taste: Taste) -> float:
        if self.refused:
            return -taste.answered
        digression = taste.on_topic * self.manner.off_topic_ratio
        padding = taste.unpadded * self.manner.padding_ratio
        return taste.length * log2(count_tokens(self.text) / 100) - digression - padding


def preferences(era: Era, *, count: int, seed: int, start: datetime, step: timedelta) -> Iterator[Preference]:
    """Yield *count* preferences of *era*, one every *step*, from *start* on.

    The same arguments give the same preferences; two eras or two seeds share no id.
    """
    rng = Random(f"preferences:{era}:{seed}")
    for index in range(count):
        question = compose_question(rng)
        taste = TASTES[era]
        first, second = _answer(rng, era, question), _answer(rng, era, question)
        for _ in range(MAX_REDRAWS):
            if abs(first.utility(taste) - second.utility(taste)) >= CLEAR_MARGIN:
                break
            second = _answer(rng, era, question)
        lead = first.utility(taste) - second.utility(taste)
        chosen, rejected = (first, second) if (lead > 0) != (rng.random() < LABEL_NOISE) else (second, first)
        yield Preference(
            preference_id=f"p-{rng.getrandbits(64):016x}",
            timestamp=start + index * step,
            messages=(Message("user", question.text),),
            chosen=chosen.text,
            rejected=rejected.text,
            tie=abs(lead) < TIE_MARGIN,
            annotator_id=rng.choice(ANNOTATORS),
            criteria_version=CRITERIA[era],
            cohort={"product": question.product.name},
        )


def encode_preference(preference: Preference) -> bytes:
    """Return the record of a preference as the topic carries it."""
    return msgspec.json.encode(preference)


def _answer(rng: Random, era: Era, question: Question) -> _Answer:
    kinds = KINDS[era]
    kind = rng.choices(kinds, weights=[kind.weight for kind in kinds])[0]
    manner = Manner(
        tokens=kind.median_tokens * question.product.length_ratio * rng.lognormvariate(0.0, 0.35),
        padding_ratio=rng.uniform(*kind.padding),
        off_topic_ratio=rng.uniform(*kind.off_topic),
    )
    if kind.refused:
        compose = compose_evasion if kind.evasive and rng.random() < kind.evasive else compose_refusal
        return _Answer(compose(rng, question), manner, refused=True)
    return _Answer(compose_answer(rng, question, manner), manner, refused=False)
