"""Every signal of a batch of traces, a column each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitor.domain.score import Opinion, Reward
from monitor.domain.signal import DISAGREEMENT, REWARD, Observation
from monitor.domain.trace import Trace
from monitor.signals.estimand import REWARD_WIN
from monitor.signals.set import SignalSet


def observe(
    traces: Sequence[Trace], rewards: Sequence[Reward | None], opinions: Sequence[Opinion | None], signals: SignalSet
) -> Iterator[Sequence[Observation | None]]:
    """Yield one signal's observations after the other: one for each trace, None where it says nothing about it."""
    yield from signals.read(traces)
    if any(rewards):
        yield [
            None if reward is None else Observation(REWARD.name, reward.scorer_version, reward.mean)
            for reward in rewards
        ]
        yield [
            Observation(DISAGREEMENT.name, reward.scorer_version, reward.disagreement)
            if reward is not None and len(reward.members) > 1
            else None
            for reward in rewards
        ]
    if any(opinions):
        yield [
            None if opinion is None else Observation(REWARD_WIN.name, opinion.scorer_version, opinion.win)
            for opinion in opinions
        ]
