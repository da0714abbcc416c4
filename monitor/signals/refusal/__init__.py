"""Whether an answer declines what it was asked: read by one of several models."""

from monitor.signals.refusal.current import CurrentRefusals, pinned
from monitor.signals.refusal.patterns import PatternRefusal, is_refusal
from monitor.signals.refusal.reading import (
    FULL_REFUSAL,
    REFUSAL,
    REFUSAL_JUDGED,
    THRESHOLD,
    RefusalModel,
    RefusalReading,
    counted_by,
    read_answers,
)

__all__ = [
    "FULL_REFUSAL",
    "REFUSAL",
    "REFUSAL_JUDGED",
    "THRESHOLD",
    "CurrentRefusals",
    "PatternRefusal",
    "RefusalModel",
    "RefusalReading",
    "counted_by",
    "is_refusal",
    "pinned",
    "read_answers",
]
