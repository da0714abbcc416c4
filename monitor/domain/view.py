"""What the API and the console show beside streams, alarms and jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from monitor.domain.job import Job


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts over everything stored; a replayed record is counted once."""

    traces: int  # stored, repeats included
    repeats: int
    duplicates: int
    preferences: int
    dead_letters: Mapping[str, int]  # by reason
    open_alarms: int
    fold_lag_traces: int  # checkpointed, not folded yet
    kafka_lag_records: int | None  # None where this process reads no partition, or no broker answers
    has_leader: bool
    last_timestamp: datetime | None  # of the newest trace
    skipped: Mapping[str, int] = field(default_factory=dict)  # records that carry no trace, by reason
    labels: int = 0  # every content of each
    paging_incidents: int = 0  # open, with an alert among their alarms
    placement_blocked_by: str | None = None  # the transaction that traces have waited for, a minute or longer


@dataclass(frozen=True, slots=True)
class WorkerTrouble:
    """How often an own signal had no value in one process though asked for one, and why last."""

    worker: str  # host and process
    failures: int
    why: str


@dataclass(frozen=True, slots=True)
class SignalRow:
    """A signal as operators see it."""

    name: str
    kind: str
    unit: str
    meaning: str
    origin: str  # default, optional, another source, or an own one's
    is_on: bool
    version: str | None  # of an own one: the settings say it
    failures: int  # traces for which an own one had no value though asked for one, in the workers that run
    troubles: tuple[WorkerTrouble, ...]  # the same by worker, the most failures first


@dataclass(frozen=True, slots=True)
class BaselineSummary:
    baseline_id: int
    created_at: datetime
    created_by: str
    note: str
    first_place: int  # in the log, from 0
    stop_place: int  # exclusive
    traces: int
    first_trace: int  # its number, from 0: places hold other subjects too
    active: bool = True


@dataclass(frozen=True, slots=True)
class JobEvent:
    at: datetime
    state: str
    actor: str
    note: str


@dataclass(frozen=True, slots=True)
class JobDetail:
    job: Job
    events: tuple[JobEvent, ...]  # oldest first
