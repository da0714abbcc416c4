"""An alarm: a statistical decision about one stream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from monitor.domain.stream import StreamKey


class Direction(StrEnum):
    UP = "up"
    DOWN = "down"


class Severity(StrEnum):
    WARNING = "warning"  # the evidence passed A/10
    ALERT = "alert"  # the evidence passed A


class AlarmState(StrEnum):
    OPEN = "open"  # -> acknowledged, superseded
    ACKNOWLEDGED = "acknowledged"  # an operator has seen it -> superseded
    SUPERSEDED = "superseded"  # a new baseline was frozen; final


@dataclass(frozen=True, slots=True)
class Effect:
    """How far the mean since the onset lies from the baseline's mean."""

    estimate: float
    lower: float
    upper: float
    unit: str


@dataclass(frozen=True, slots=True)
class Alarm:
    stream: StreamKey
    direction: Direction
    severity: Severity
    trace_index: int  # counts all good traces in fold order, from 0
    trace_id: str
    timestamp: datetime
    onset_index: int
    onset_timestamp: datetime
    observations: int  # of the stream, since the baseline was frozen
    evidence_log: float  # log e / log A at the decision
    effect: Effect
    examples: tuple[str, ...] = ()  # trace ids since the onset, most telling first


@dataclass(frozen=True, slots=True)
class StoredAlarm:
    alarm_id: int
    state: AlarmState
    alarm: Alarm
    created_at: datetime
    acknowledged_by: str | None = None
