"""Traffic whose answers are as long as what was asked wants them: the mix may move, the policy may, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.domain.trace import Message, Trace
from tests.traces import trace

THINGS = ("rivers", "bridges", "engines", "forests", "markets", "planets", "islands", "castles", "gardens", "harbours")
SHORT, LONG, BRIEF, THOROUGH = "short", "long", "brief", "thorough"
WORDS = {SHORT: 60.0, LONG: 300.0, BRIEF: 60.0, THOROUGH: 300.0}  # of an answer, at the median
SPREAD = 0.3  # of its logarithm
PADDING = (  # more than a sketch reads of either end, and the same in every prompt
    "here is a report that our office has written over the last year for the council of the town and its partners, who"
    " want to see it soon and to read it with care"
)


@dataclass(frozen=True)
class Asked:
    """How many of *count* prompts are of which kind, and how much longer than usual the policy answers them."""

    count: int
    shares: dict[str, float]
    longer: float = 1.0


def prompt(kind: str, number: int) -> str:
    """Return a prompt of its own; brief ones and thorough ones differ in the middle alone."""
    thing = THINGS[number % len(THINGS)]
    if kind == SHORT:
        return f"What is the number {number} of the {thing}?"
    if kind == LONG:
        return f"Please write a detailed essay on all known {thing}, with sources, step by step, chapter {number}."
    return f"Number {number}: {PADDING}. Be {kind} now. {PADDING}: {thing} {number}"


def answer(asked: str, rng: np.random.Generator, longer: float = 1.0) -> str:
    """Return what the policy says to a prompt."""
    return " ".join(["word"] * max(int(longer * usual(asked) * np.exp(rng.normal(0.0, SPREAD))), 1))


def traffic(parts: Sequence[Asked], *, seed: int = 0) -> list[Trace]:
    """Return the traces of *parts*, one after another."""
    rng = np.random.default_rng(seed)
    traces: list[Trace] = []
    for part in parts:
        kinds = rng.choice(list(part.shares), size=part.count, p=list(part.shares.values()))
        for kind in kinds.tolist():
            number = len(traces)
            asked = prompt(kind, number)
            response = answer(asked, rng, part.longer)
            traces.append(
                trace(
                    number,
                    response=response,
                    messages=(Message("user", asked),),
                    cohort={"dataset": "all"},
                    input_tokens=len(asked.split()),
                    output_tokens=len(response.split()),
                )
            )
    return traces


def usual_words(item: Trace) -> float:
    """Return how many words the policy's usual answer to a trace's prompt has, in the mean."""
    assert item.messages is not None
    return usual(item.messages[-1].content) * float(np.exp(SPREAD**2 / 2.0))


def usual(asked: str) -> float:
    return WORDS[LONG] if "Be thorough now" in asked or "detailed essay" in asked else WORDS[SHORT]
