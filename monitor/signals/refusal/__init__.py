"""Whether an answer declines what it was asked: read by one of several models."""

from monitor.signals.refusal.patterns import PatternRefusal, is_refusal
from monitor.signals.refusal.reading import FULL_REFUSAL, REFUSAL, REFUSAL_JUDGED, RefusalModel, RefusalReading

__all__ = [
    "FULL_REFUSAL",
    "REFUSAL",
    "REFUSAL_JUDGED",
    "PatternRefusal",
    "RefusalModel",
    "RefusalReading",
    "is_refusal",
]
