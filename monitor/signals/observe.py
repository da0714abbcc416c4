"""Every signal of one trace."""

from __future__ import annotations

from collections.abc import Callable

from monitor.domain.score import Reward
from monitor.domain.signal import DISAGREEMENT, REFUSAL, REWARD, Observation
from monitor.domain.trace import Trace
from monitor.signals.feedback import observe_negative_feedback
from monitor.signals.length import observe_length
from monitor.signals.outcome import observe_error, observe_truncation
from monitor.signals.refusal import is_refusal

REFUSAL_VERSION = "patterns-1"  # raise it with every change of the patterns: old and new values do not compare


def observe_refusal(trace: Trace) -> Observation | None:
    if trace.response is None:
        return None
    return Observation(REFUSAL.name, REFUSAL_VERSION, float(is_refusal(trace.response)))


SIGNALS_OF_A_TRACE: tuple[Callable[[Trace], Observation | None], ...] = (
    observe_length,
    observe_refusal,
    observe_truncation,
    observe_error,
    observe_negative_feedback,
)


def observe(trace: Trace, reward: Reward | None) -> list[Observation]:
    """Return what can be observed; a signal the trace says nothing about is left out."""
    found = [observation for signal in SIGNALS_OF_A_TRACE if (observation := signal(trace)) is not None]
    if reward is not None:
        found.append(Observation(REWARD.name, reward.scorer_version, reward.mean))
        if len(reward.members) > 1:
            found.append(Observation(DISAGREEMENT.name, reward.scorer_version, reward.disagreement))
    return found
