"""Every signal of one trace."""

from __future__ import annotations

from monitor.domain.score import Opinion, Reward
from monitor.domain.signal import DISAGREEMENT, REWARD, Observation
from monitor.domain.trace import Trace
from monitor.signals.estimand import REWARD_WIN
from monitor.signals.table import TRACE_SIGNALS


def observe(trace: Trace, reward: Reward | None, opinion: Opinion | None = None) -> list[Observation]:
    """Return what can be observed; a signal the trace says nothing about is left out."""
    found = [seen for observer in TRACE_SIGNALS.values() if (seen := observer(trace)) is not None]
    if reward is not None:
        found.append(Observation(REWARD.name, reward.scorer_version, reward.mean))
        if len(reward.members) > 1:
            found.append(Observation(DISAGREEMENT.name, reward.scorer_version, reward.disagreement))
    if opinion is not None:
        found.append(Observation(REWARD_WIN.name, opinion.scorer_version, opinion.win))
    return found
