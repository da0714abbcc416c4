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
    OPEN = "open"  # -> acknowledged, recovered, superseded
    ACKNOWLEDGED = "acknowledged"  # an operator has seen it -> recovered, superseded
    RECOVERED = "recovered"  # nothing of late says that the stream is still drifted; it may alarm again -> superseded
    # A new baseline was frozen, or an alert took a warning's place, or another scorer the stream's: a roll-back to that
    # scorer opens the alarm again. Otherwise final.
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Effect:
    """How far the mean since the onset lies from the baseline's mean."""

    estimate: float
    lower: float
    upper: float
    unit: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """What one stream was found to do; places count all subjects in the log, from 0."""

    stream: StreamKey
    direction: Direction
    severity: Severity
    place: int  # of the observation that decided
    trace_id: str | None  # of its subject, if that is a trace
    timestamp: datetime
    onset_place: int
    onset_timestamp: datetime
    observations: int  # of the stream, since the baseline was frozen
    evidence_log: float  # log e / log A at the decision
    effect: Effect
    examples: tuple[str, ...] = ()  # trace ids since the onset, most telling first
    episode: int = 0  # of the stream under its baseline; a stream that has recovered may begin another


@dataclass(frozen=True, slots=True)
class Recovery:
    """A stream's open episode has ended: nothing of late says that it is still drifted."""

    stream: StreamKey
    episode: int
    place: int


@dataclass(frozen=True, slots=True)
class StoredAlarm:
    alarm_id: int
    state: AlarmState
    alarm: Alarm
    created_at: datetime
    acknowledged_by: str | None = None
    recovered_at: datetime | None = None
