"""Whether an answer declines what it was asked: the signal `refusal`, from one of several models of one interface."""

from monitor.signals.refusal.patterns import PatternRefusal, is_refusal
from monitor.signals.refusal.reading import (
    REFUSAL,
    REFUSAL_JUDGED,
    RefusalModel,
    RefusalReading,
    observe_refusals,
)

__all__ = [
    "REFUSAL",
    "REFUSAL_JUDGED",
    "PatternRefusal",
    "RefusalModel",
    "RefusalReading",
    "is_refusal",
    "observe_refusals",
]
