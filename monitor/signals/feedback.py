"""What the user said of the answer."""

from __future__ import annotations

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace

NEGATIVE_FEEDBACK = Signal(
    "negative_feedback", SignalKind.BINARY, "ratio", "a user who rates the answer does not like it"
)


def observe_negative_feedback(trace: Trace) -> Observation | None:
    """Return 1 for a rating below zero; users who rate nothing are not observed."""
    if trace.feedback_rating is None:
        return None
    return Observation(NEGATIVE_FEEDBACK.name, "reported", float(trace.feedback_rating < 0))
