"""Whether an answer declines what it was asked: the signal `refusal`, from one of several models of one interface."""

from monitor.signals.refusal.patterns import PatternRefusal, is_refusal
from monitor.signals.refusal.reading import (
    FULL_REFUSAL,
    REFUSAL,
    REFUSAL_JUDGED,
    RefusalModel,
    RefusalReading,
)

__all__ = [
    "FULL_REFUSAL",
    "REFUSAL",
    "REFUSAL_JUDGED",
    "PatternRefusal",
    "RefusalModel",
    "RefusalReading",
    "is_refusal",
]
