"""What is observed on each trace of a file, a row a trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from monitor.domain.trace import Trace
from monitor.observe.scoring import RewardModel, RewardRule, score_traces
from monitor.signals.set import DEFAULT, SignalSet

BLOCK = 256


def score_rows(
    traces: Iterable[Trace],
    model: RewardModel | None,
    rule: RewardRule = RewardRule(),
    *,
    signals: SignalSet = DEFAULT,
) -> Iterator[dict[str, Any]]:
    """Yield each trace's signals and, with a *model* or scores of its own, its reward."""
    source = iter(traces)
    while block := list(islice(source, BLOCK)):
        scores = score_traces(block, model, rule)
        for trace, scored, *seen in zip(block, scores, *signals.read(block), strict=True):
            told = {one.signal: plain_number(one.value) for one in seen if one is not None}
            row: dict[str, Any] = {"trace_id": trace.trace_id, "signals": told, "reward": None}
            if (reward := scored.reward) is not None:
                row["reward"] = {
                    "mean": reward.mean,
                    "lower": reward.lower,
                    "disagreement": reward.disagreement,
                    "members": list(reward.members),
                    "win": None if scored.opinion is None else scored.opinion.win,  # over the reference response
                }
            yield row


def plain_number(value: float) -> float | int:
    return int(value) if value.is_integer() else value
