"""Asking the reward ensemble about the traces that have an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.domain.score import Reward
from monitor.domain.trace import Message, Trace


class RewardModel(Protocol):
    """Scores responses; one answer per row, None where a row cannot be scored."""

    def score(self, rows: Sequence[tuple[Sequence[Message], str]]) -> list[Reward | None]: ...


def score_traces(traces: Sequence[Trace], model: RewardModel | None) -> list[Reward | None]:
    """Return one reward per trace; None without a model, without a response, and where it cannot be scored."""
    rewards: list[Reward | None] = [None] * len(traces)
    if model is None:
        return rewards
    answered = [number for number, trace in enumerate(traces) if trace.response is not None]
    rows = [(traces[number].messages, traces[number].response or "") for number in answered]
    for number, reward in zip(answered, model.score(rows), strict=True):
        rewards[number] = reward
    return rewards
