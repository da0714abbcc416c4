"""Generated traffic of a support assistant: native trace records as its producer would write them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from monitor.demo.texts.composer import (
    CHARACTERS_PER_TOKEN,
    Manner,
    Question,
    compose_answer,
    compose_evasion,
    compose_follow_up,
    compose_question,
    compose_refusal,
    count_tokens,
)

MEDIAN_TOKENS = 120.0
LOG_LENGTH_SPREAD = 0.45  # standard deviation of the logarithm of the intended length
MAX_TOKENS = 512  # the assistant's limit on a response
MAX_TURNS = 4
FOLLOW_UP_RATIO = 0.28  # share of the calls that go on with an open conversation
RETRY_RATIO = 0.02  # share of the calls in which a user sends the same prompt again
STARTER_RATIO = 0.04  # share of the conversations that begin with a suggested prompt
BUSY_RATIO = 0.67  # of the questions about other products, drawn anew until they stay
FEEDBACK_RATIO = 0.08  # share of the answers that users rate
REGIONS = ("eu", "us", "us", "apac")
ERRORS = (
    "model server timed out after 30 s",
    "model server answered 503: overloaded",
    "connection closed before the first token",
)


@dataclass(frozen=True, slots=True)
class Phase:
    """How the assistant behaves, and how its producer does; rates and ratios are shares of 1."""

    name: str
    policy_model: str
    length_factor: float = 1.0
    refusal_rate: float = 0.03  # answers that say no
    evasion_rate: float = 0.0  # answers that refuse and never say so
    bad_rate: float = 0.08  # answers that digress, ramble or repeat themselves
    padding_ratio: float = 0.03  # filler among the sentences of every answer
    error_rate: float = 0.004
    malformed_rate: float = 0.002  # records that are no trace
    duplicate_rate: float = 0.004  # records sent twice, as at-least-once producers do
    canary: Phase | None = None  # the phase that serves `canary_ratio` of the conversations
    canary_ratio: float = 0.0
    busy_product: str | None = None  # what most users ask about; None: each product as usual


NORMAL = Phase("normal", "assistant-v1")
DRIFTED = Phase("drifted", "assistant-v2", length_factor=1.55, evasion_rate=0.09, bad_rate=0.28, padding_ratio=0.18)
LAUNCH = replace(NORMAL, name="launch", busy_product="coding")
ROLLOUT = replace(NORMAL, name="rollout", canary=DRIFTED, canary_ratio=0.1)


def traffic(
    phase: Phase, *, count: int, seed: int, start: datetime, step: timedelta, shadow: Phase | None = None
) -> Iterator[bytes]:
    """Yield *count* records of *phase*, one every *step*, from *start* on.

    The same arguments give the same bytes. Trace and conversation ids depend on
    the phase's name and the seed, so two phases or two seeds share none. With a
    *shadow*, each answer has that phase's answer to the same prompt beside it.
    """
    producer = _Producer(phase, Random(f"{phase.name}:{seed}"), shadow, Random(f"{phase.name}:{seed}:shadow"))
    for index in range(count):
        yield producer.record(start + index * step)


def write_jsonl(path: Path, records: Iterable[bytes]) -> int:
    """Write one record a line, malformed ones as they are; return how many there were."""
    count = 0
    with path.open("wb") as file:
        for record in records:
            file.write(record + b"\n")
            count += 1
    return count


@dataclass(slots=True)
class _Conversation:
    conversation_id: str
    phase: Phase
    question: Question
    cohort: dict[str, str]
    messages: list[dict[str, str]]  # ends with the user's last message
    response: str | None = None
    turns: int = 1


@dataclass(slots=True)
class _Producer:
    phase: Phase
    rng: Random
    shadow: Phase | None = None
    shadow_rng: Random = field(default_factory=Random)
    encoder: msgspec.json.Encoder = field(default_factory=msgspec.json.Encoder)
    conversations: deque[_Conversation] = field(default_factory=lambda: deque(maxlen=40))
    sent: deque[bytes] = field(default_factory=lambda: deque(maxlen=50))

    def record(self, now: datetime) -> bytes:
        draw = self.rng.random()
        if draw < self.phase.duplicate_rate and self.sent:
            return self.rng.choice(self.sent)
        trace = self._trace(self._next_turn(), now)
        if draw > 1.0 - self.phase.malformed_rate:
            return self.rng.choice(_MALFORMATIONS)(trace)
        encoded = self.encoder.encode(trace)
        self.sent.append(encoded)
        return encoded

    def _next_turn(self) -> _Conversation:
        """Return the conversation whose last message the assistant is to answer now."""
        draw = self.rng.random()
        if draw > FOLLOW_UP_RATIO + RETRY_RATIO or not self.conversations:
            return self._new_conversation()
        conversation = self.rng.choice(self.conversations)
        if draw < RETRY_RATIO or conversation.response is None:
            return conversation
        if conversation.turns == MAX_TURNS:
            return self._new_conversation()
        conversation.question = compose_follow_up(self.rng, conversation.question)
        conversation.messages.append({"role": "assistant", "content": conversation.response})
        conversation.messages.append({"role": "user", "content": conversation.question.text})
        conversation.turns += 1
        return conversation

    def _new_conversation(self) -> _Conversation:
        rng = self.rng
        question = rng.choice(_starters()) if rng.random() < STARTER_RATIO else compose_question(rng)
        busy = self.phase.busy_product
        while busy is not None and question.product.name != busy and rng.random() < BUSY_RATIO:
            question = compose_question(rng)
        canary = self.phase.canary if rng.random() < self.phase.canary_ratio else None
        conversation = _Conversation(
            conversation_id=f"c-{rng.getrandbits(64):016x}",
            phase=canary or self.phase,
            question=question,
            cohort={"product": question.product.name, "region": rng.choice(REGIONS)},
            messages=[{"role": "user", "content": question.text}],
        )
        self.conversations.append(conversation)
        return conversation

    def _trace(self, conversation: _Conversation, now: datetime) -> dict[str, Any]:
        trace: dict[str, Any] = {
            "trace_id": f"t-{self.rng.getrandbits(64):016x}",
            "timestamp": now,
            "policy_model": conversation.phase.policy_model,
            "conversation_id": conversation.conversation_id,
            "cohort": conversation.cohort,
            "messages": conversation.messages,
            "input_tokens": sum(count_tokens(message["content"]) + 4 for message in conversation.messages),
        }
        if self.rng.random() < conversation.phase.error_rate:
            conversation.response = None
            return trace | {"response": None, "error": self.rng.choice(ERRORS), "latency_seconds": 30.0}
        return trace | self._answer(conversation)

    def _answer(self, conversation: _Conversation) -> dict[str, Any]:
        """Answer the last message; return the answer's fields of the trace."""
        rng = self.rng
        response, liked_rate = respond(rng, conversation.phase, conversation.question)
        truncated = len(response) > MAX_TOKENS * CHARACTERS_PER_TOKEN
        if truncated:
            response = response[: int(MAX_TOKENS * CHARACTERS_PER_TOKEN)]
        conversation.response = response
        tokens = count_tokens(response)
        answer: dict[str, Any] = {
            "response": response,
            "finish_reason": "length" if truncated else "stop",
            "output_tokens": tokens,
            "latency_seconds": round(0.25 + tokens * 0.011 * rng.lognormvariate(0.0, 0.2), 3),
        }
        if self.shadow is not None:
            answer["reference_response"] = respond(self.shadow_rng, self.shadow, conversation.question)[0]
        if rng.random() < FEEDBACK_RATIO:
            answer["feedback"] = {"rating": 1 if rng.random() < liked_rate else -1}
        return answer


def respond(rng: Random, phase: Phase, question: Question) -> tuple[str, float]:
    """Return a response and the share of users who would like it."""
    draw = rng.random()
    if draw < phase.refusal_rate:
        return compose_refusal(rng, question), 0.1
    if draw < phase.refusal_rate + phase.evasion_rate:
        return compose_evasion(rng, question), 0.1
    spread = rng.lognormvariate(0.0, LOG_LENGTH_SPREAD)
    tokens = MEDIAN_TOKENS * phase.length_factor * question.product.length_ratio * spread
    if rng.random() >= phase.bad_rate:
        return compose_answer(rng, question, Manner(tokens, phase.padding_ratio)), 0.92
    flawed = rng.choice(
        (
            Manner(tokens, phase.padding_ratio, off_topic_ratio=0.5),
            Manner(tokens, padding_ratio=0.5),
            Manner(tokens, padding_ratio=0.25, off_topic_ratio=0.1, repetition_ratio=0.2),
        )
    )
    return compose_answer(rng, question, flawed), 0.45


@cache
def _starters() -> tuple[Question, ...]:
    """Return the prompts that the assistant's start page suggests to everybody."""
    rng = Random("starters")
    return tuple(compose_question(rng) for _ in range(30))


_MALFORMATIONS: tuple[Callable[[dict[str, Any]], bytes], ...] = (
    lambda trace: msgspec.json.encode(trace)[:-40],
    lambda trace: msgspec.json.encode(trace | {"timestamp": "yesterday"}),
    lambda trace: msgspec.json.encode(trace | {"output_tokens": "many"}),
    lambda trace: msgspec.json.encode({key: value for key, value in trace.items() if key != "policy_model"}),
    lambda trace: msgspec.json.encode(trace | {"response": None, "error": None}),
    lambda trace: b"\x80\x04\x95heartbeat " + str(trace["trace_id"]).encode(),
)
