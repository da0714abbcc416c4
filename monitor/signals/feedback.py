"""What the user said of the answer."""

from __future__ import annotations

from monitor.domain.signal import NEGATIVE_FEEDBACK, Observation
from monitor.domain.trace import Trace


def observe_negative_feedback(trace: Trace) -> Observation | None:
    """Return 1 for a rating below zero; users who rate nothing are not observed."""
    if trace.feedback_rating is None:
        return None
    return Observation(NEGATIVE_FEEDBACK.name, "reported", float(trace.feedback_rating < 0))
