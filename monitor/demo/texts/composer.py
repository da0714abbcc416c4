"""Questions and answers composed from topic material, with the answer's quality chosen and known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate
from random import Random

from monitor.demo.texts import PRODUCTS, manner
from monitor.demo.texts.topic import Intent, Product

CHARACTERS_PER_TOKEN = 4.4  # of English prose under current tokenizers
CONTEXT_RATIO = 0.75  # share of the users who say a little about their situation
_CUMULATIVE_WEIGHTS = list(accumulate(product.weight for product in PRODUCTS))


@dataclass(frozen=True, slots=True)
class Question:
    """A user's message; `opening` is the direct answer to it, None where a follow-up wants the details."""

    product: Product
    intent: Intent
    slots: Mapping[str, str]
    text: str
    opening: str | None


@dataclass(frozen=True, slots=True)
class Manner:
    """How an answer is written; the ratios are shares of its sentences."""

    tokens: float
    padding_ratio: float = 0.0
    off_topic_ratio: float = 0.0
    repetition_ratio: float = 0.0


def compose_question(rng: Random) -> Question:
    """Return a user's first question; two of them hardly ever have the same text."""
    product = rng.choices(PRODUCTS, cum_weights=_CUMULATIVE_WEIGHTS)[0]
    intent = rng.choice(product.intents)
    slots = {name: pool[int(rng.random() * len(pool))] for name, pool in product.slots.items()}
    index = int(rng.random() * len(intent.prompts))
    text = intent.prompts[index]
    if rng.random() < CONTEXT_RATIO:
        text = f"{text} {rng.choice(product.contexts)}"
    return Question(product, intent, slots, text.format_map(slots), intent.openings[index])


def compose_follow_up(rng: Random, question: Question) -> Question:
    text = rng.choice(question.intent.follow_ups).format_map(question.slots)
    return replace(question, text=text, opening=None)


def compose_answer(rng: Random, question: Question, style: Manner) -> str:
    """Return an answer of about `style.tokens`; shorter where there is no more to say on topic."""
    budget = style.tokens * CHARACTERS_PER_TOKEN
    parts: list[str] = []
    for sentence in _sentences(rng, question, style):
        budget -= len(sentence) + 1
        if parts and budget < -len(sentence) / 2:
            break
        parts.append(sentence)
    return " ".join(parts).replace(" \n", "\n").format_map(question.slots)


def compose_refusal(rng: Random, question: Question) -> str:
    parts = (rng.choice(manner.REFUSALS), rng.choice(manner.REFUSAL_REASONS), rng.choice(manner.REFUSAL_CLOSINGS))
    subject = rng.choice(manner.SUBJECTS[question.product.name])
    return " ".join(part for part in parts if part).format(subject=subject)


def compose_evasion(rng: Random, question: Question) -> str:
    """Return a refusal that never says no."""
    subject = rng.choice(manner.SUBJECTS[question.product.name])
    opening = rng.choice(manner.EVASIONS).format(subject=subject, Subject=subject.capitalize())
    return " ".join((opening, rng.choice(manner.LECTURES), rng.choice(manner.SAFER)))


def is_evasion(text: str) -> bool:
    """Say whether *text* is one, as a reader can tell."""
    return text.endswith(manner.SAFER)


def count_tokens(text: str) -> int:
    """Return about as many tokens as a tokenizer would find in English prose."""
    return max(1, round(len(text) / CHARACTERS_PER_TOKEN))


def _sentences(rng: Random, question: Question, style: Manner) -> Iterator[str]:
    """Yield the answer's sentences until what is on topic runs out."""
    elsewhere = _off_topic(question.product.name)
    off_topic = style.padding_ratio + style.off_topic_ratio
    repeated = off_topic + style.repetition_ratio
    said: list[str] = []
    for sentence in _on_topic(rng, question):
        draw = rng.random()
        while draw < repeated:
            if draw < style.padding_ratio:
                yield manner.FILLERS[int(rng.random() * len(manner.FILLERS))]
            elif draw < off_topic:
                yield elsewhere[int(rng.random() * len(elsewhere))]
            elif said:
                yield said[int(rng.random() * len(said))]
            draw = rng.random()
        if not sentence.startswith("\n"):
            said.append(sentence)
        yield sentence


def _on_topic(rng: Random, question: Question) -> Iterator[str]:
    """Yield the direct answer with its steps in order, then details, then background."""
    details = _rotated(rng, question.intent.details)
    if question.opening is None:
        yield from details
        yield from question.intent.steps
    elif rng.random() < question.product.list_ratio:
        yield question.opening
        for number, step in enumerate(question.intent.steps, start=1):
            yield f"\n{number}. {step}"
        yield f"\n{details[0]}"
        yield from details[1:]
    else:
        yield question.opening
        yield from question.intent.steps
        yield from details
    yield from _rotated(rng, question.product.background)


def _rotated(rng: Random, sentences: tuple[str, ...]) -> tuple[str, ...]:
    first = int(rng.random() * len(sentences))
    return sentences[first:] + sentences[:first]


@cache
def _off_topic(product_name: str) -> tuple[str, ...]:
    """Return what has nothing to do with a product: mostly digressions, a third about other products."""
    others = [
        sentence
        for product in PRODUCTS
        if product.name != product_name
        for intent in product.intents
        for sentence in (*product.background, *intent.steps, *intent.details)
        if "{" not in sentence
    ]
    return (*manner.DIGRESSIONS * round(2 * len(others) / len(manner.DIGRESSIONS)), *others)


def stock_sentences() -> list[str]:
    """Return the sentences that answers are made of, but for those that name what the user named."""
    found = {*manner.FILLERS, *manner.DIGRESSIONS}
    for product in PRODUCTS:
        found.update(product.background)
        found.update(sentence for intent in product.intents for sentence in (*intent.steps, *intent.details))
    return sorted(sentence for sentence in found if "{" not in sentence)
