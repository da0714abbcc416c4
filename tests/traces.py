"""Factories: traces, a drift among them, and the checkpoints and JSON lines that carry them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from msgspec import structs

from monitor.domain.score import Reward
from monitor.domain.trace import Message, Trace
from monitor.observe.gather import ObservedTrace, gather
from monitor.observe.step import Observed
from monitor.pipeline.checkpoint import Checkpoint, Span

START = datetime(2025, 3, 1, 5, tzinfo=UTC)
REFUSAL = "I'm sorry, but I can't help with that request."
COHORTS = ("dataset=koala", "dataset=vicuna")


def trace(number: int = 0, **changes: object) -> Trace:
    """Return a sound trace with a prompt of its own."""
    usual = Trace(
        trace_id=f"t-{number}",
        timestamp=START + timedelta(seconds=number),
        policy_model="phi-2",
        response=f"Answer {number}.",
        messages=(Message("user", f"Question {number}?"),),
        cohort={"dataset": COHORTS[number % 2].removeprefix("dataset=")},
        finish_reason="stop",
        input_tokens=12,
        output_tokens=100,
    )
    return structs.replace(usual, **changes)


def drifting(count: int, *, change: int, seed: int = 0, refusals: float = 0.25, longer: float = 2.0) -> list[Trace]:
    """Return traces whose refusals rise from 3% to *refusals* and whose answers grow *longer* at index *change*."""
    rng = np.random.default_rng(seed)
    after = np.arange(count) >= change
    refused = rng.random(count) < np.where(after, refusals, 0.03)
    tokens = rng.lognormal(5.0, 0.5, count) * np.where(after, longer, 1.0)
    return [
        trace(number, response=REFUSAL if refused[number] else f"Answer {number}.", output_tokens=int(tokens[number]))
        for number in range(count)
    ]


def scored(
    traces: Sequence[Trace], *, repeated: bool = False, rewards: Sequence[Reward] | None = None
) -> list[ObservedTrace]:
    given: Sequence[Reward | None] = rewards or [None] * len(traces)
    return [
        ObservedTrace(item, f"dataset={item.cohort['dataset']}", repeated, reward)
        for item, reward in zip(traces, given, strict=True)
    ]


def observed(items: Sequence[ObservedTrace], keys: Mapping[bytes, datetime] | None = None) -> Observed:
    """Return *items* as one observing step leaves them, every key counted where *keys* are not given."""
    counted = {key: item.trace.timestamp for item in items for key in item.trace.repeat_keys()}
    return Observed(tuple(items), gather(items), counted if keys is None else keys)


@dataclass
class GivenRewards:
    """A reward model that answers with what it was given, in the order in which it is asked."""

    rewards: Sequence[Reward | None]
    asked: int = 0

    def score(self, rows: Sequence[tuple[Sequence[Message], str]]) -> list[Reward | None]:
        first, self.asked = self.asked, self.asked + len(rows)
        return list(self.rewards[first : self.asked])


def checkpoint(
    items: Sequence[ObservedTrace], *, start: int = 0, topic: str = "traces", partition: int = 0, **changes: object
) -> Checkpoint:
    """Return the checkpoint of *items* read from the offset *start* on, one record each."""
    usual = Checkpoint(
        spans={(topic, partition): Span(start, start + len(items))},
        observed=observed(items),
        positions=[(topic, partition, start + number) for number in range(len(items))],
        preferences=[],
        duplicates=0,
        dead_letters={},
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def line(item: Trace, **changes: object) -> bytes:
    """Return the native JSON of *item*."""
    form = {
        "trace_id": item.trace_id,
        "timestamp": item.timestamp.isoformat(),
        "policy_model": item.policy_model,
        "response": item.response,
        "conversation_id": item.conversation_id,
        "messages": [{"role": message.role, "content": message.content} for message in item.messages],
        "cohort": dict(item.cohort),
        "finish_reason": item.finish_reason,
        "input_tokens": item.input_tokens,
        "output_tokens": item.output_tokens,
    }
    return json.dumps(form | changes).encode()


def prompts(texts: Iterable[str | None]) -> list[Sequence[Message] | None]:
    """Return *texts* as prompts of one user message; None stays None."""
    return [None if text is None else (Message("user", text),) for text in texts]
