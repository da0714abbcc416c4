"""Baselines and streams as a store keeps them between two leaders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from monitor.domain.alarm import Alarm, Recovery, Severity, StoredAlarm
from monitor.domain.incident import Filed
from monitor.domain.observation import SubjectWindow
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline
from monitor.drift.daily import DayEvidence


@dataclass(frozen=True, slots=True)
class ActiveBaseline:
    baseline_id: int
    revision: int  # raised whenever laws are added to it
    baseline: Baseline


@dataclass(frozen=True, slots=True)
class HeldBaseline:
    """A baseline and the time in which it was the active one, in the traces' time.

    The first one's begins where its window ends: nothing held before it.
    """

    baseline_id: int
    revision: int
    since: datetime
    until: datetime | None  # exclusive; None: it still holds


@dataclass(frozen=True, slots=True)
class WindowTrace:
    cohort: str
    policy_model: str


@dataclass(frozen=True, slots=True)
class BaselineWindow:
    """The active baseline at one revision, with the traces it was frozen from, by their index."""

    baseline_id: int
    revision: int
    baseline: Baseline
    traces: Mapping[int, WindowTrace]
    subjects: SubjectWindow  # what was asked there


@dataclass(frozen=True, slots=True)
class FoldPosition:
    """The first entry that is not folded, and its first place that is not."""

    next_sequence: int
    next_place: int


@dataclass(frozen=True, slots=True)
class StoredStream:
    """A `drift.fold.Stream` with its evidence in bytes, and its evidence as operators see it."""

    evidence: bytes
    evidence_log: float  # log e / log A
    observations: int
    mean: float
    last_timestamp: datetime
    episode: int
    severity: Severity | None  # of the open episode; None where none is open
    since: int | None  # of the open episode; None where the release that stored it knew none
    patience: int | None  # likewise
    renewed: bytes | None


@dataclass(frozen=True, slots=True)
class StoredFold:
    """Where the fold stands under one baseline."""

    position: FoldPosition
    at: datetime | None  # the log's time there
    streams: dict[StreamKey, StoredStream]


class Filing(Protocol):
    """The decision which alarms are one incident."""

    def __call__(self, new: Iterable[StoredAlarm], known: Iterable[StoredAlarm]) -> Sequence[Filed]:
        """Give each alarm of *new* an incident: one of those that hold *known*, or a new one."""
        ...


@dataclass(frozen=True, slots=True)
class FoldStep:
    """What one step of the fold makes true together."""

    baseline_id: int
    start: FoldPosition
    stop: FoldPosition
    streams: dict[StreamKey, StoredStream]  # that changed
    alarms: Sequence[Alarm]
    recoveries: Sequence[Recovery]
    filing: Filing  # asked within the transaction, about the alarms that have no incident yet
    days: Sequence[DayEvidence] = ()  # of the streams that changed, and of days that ended
