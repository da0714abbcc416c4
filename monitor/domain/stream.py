"""The name of a stream of observations that one detector follows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, order=True)
class StreamKey:
    signal: str
    cohort: str  # `cohort.ALL` is the roll-up
    policy_model: str
    scorer_version: str


@dataclass(frozen=True, slots=True)
class StreamNumbers:
    """What a stream has come to under its baseline."""

    observations: int
    mean: float  # in the signal's unit
    last_timestamp: datetime
    evidence_log: float  # log e / log A
    stream_id: int | None = None  # of its page; None: nothing of it is rolled up yet


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """A stream as operators see it."""

    key: StreamKey
    observations: int  # folded since the baseline was frozen
    mean: float  # of the observations since then, in the signal's unit
    baseline_mean: float
    baseline_lower: float  # of the null interval
    baseline_upper: float
    evidence_log: float  # log e / log A; 1 is the alarm
    last_timestamp: datetime
    unit: str
    is_steady: bool = True  # False: the baseline's window moved too much by itself for the stream to raise an alert
    stream_id: int | None = None  # of its page and its history; None: there is none yet
