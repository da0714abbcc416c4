"""What is told of an incident, and what a receiver has been told so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from monitor.domain.alarm import Severity
from monitor.domain.incident import Incident


class Event(StrEnum):
    """Why somebody is told."""

    OPENED = "opened"
    CHANGED = "changed"  # it grew, or something was found out: nobody has to be woken
    RAISED = "raised"  # it became more severe, or is open again
    REMINDED = "reminded"  # it is still open, and nobody has acknowledged it
    QUIETED = "quieted"  # somebody acknowledged or snoozed it
    RESOLVED = "resolved"  # it ended, or what is left is below what the receiver wants to hear
    TEST = "test"

    @property
    def is_loud(self) -> bool:
        return self in {Event.OPENED, Event.RAISED, Event.REMINDED, Event.TEST}


class Standing(StrEnum):
    """What an incident asks of the people of one receiver."""

    LOUD = "loud"  # open, and as severe as they want to hear of
    QUIET = "quiet"  # somebody has it
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Told:
    """What a receiver knows, or is about to."""

    standing: Standing
    severity: Severity
    digest: str  # of all that is shown
    page: int  # raised whenever it is to be heard anew
    first_at: datetime | None = None  # of another receiver: when it first failed


@dataclass(frozen=True, slots=True)
class Notice:
    """One message, the same at each attempt. Its texts came from outside: each sender escapes them for its medium."""

    subject: str  # of the receiver's row: `incident-12`
    key: str  # the same for all notices on the subject, and no other monitor's
    sequence: int  # from 1; later ones say what holds now
    event: Event
    told: Told
    state: str
    title: str
    lines: tuple[str, ...]
    link: str | None
    runbook: str
    at: datetime
    incidents: tuple[int, ...]

    @property
    def idempotency_key(self) -> str:
        return f"{self.key}-{self.sequence}"


@dataclass(frozen=True, slots=True)
class Failing:
    """How a receiver takes nothing."""

    since: datetime  # the oldest message that waits was first tried
    error: str
    waiting: int  # messages
    severity: Severity  # the highest of what waits


@dataclass(frozen=True, slots=True)
class Taken:
    """A receiver has it."""

    said: str  # what came back, for people
    handle: str | None = None  # by which the message is edited later; None keeps the one that is known


@dataclass(frozen=True, slots=True)
class Failed:
    """A receiver has it not, as far as is known."""

    error: str
    again: bool  # whether the same message may be taken another time
    after_seconds: float | None = None  # the receiver's own word on when


Deliver = Callable[[Notice, str | None], Taken | Failed]  # with the handle of the message that is to be edited
Find = Callable[[Notice, str | None], Taken | None]  # what an earlier attempt has left there; None: nothing, or unknown


@dataclass(frozen=True, slots=True)
class Row:
    """What is stored of one receiver and one subject."""

    receiver: str
    subject: str
    incident_id: int | None  # of a storm its first; None where it is about another receiver
    storm: str | None = None  # the subject that tells of it instead
    sequence: int = 0
    told: Told | None = None
    told_at: datetime | None = None
    loud_at: datetime | None = None  # when it was last heard
    pending: Notice | None = None
    pending_since: datetime | None = None
    attempts: int = 0  # of the pending one
    retry_at: datetime | None = None
    refused: bool = False
    error: str | None = None
    handle: str | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is stored at one moment."""

    now: datetime
    incidents: dict[int, Incident]  # those that are live, and those that some receiver does not know the end of
    held: frozenset[int]  # open ones whose page waits for a verdict
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice that its receiver has not taken."""

    subject: str  # incident-12, storm-12, receiver-ops
    incident_id: int | None  # of a storm its first; None where it is about another receiver
    event: Event
    title: str
    since: datetime  # when it was first tried
    attempts: int
    retry_at: datetime | None
    refused: bool  # for good, so that only a daemon that starts anew tries it again
    error: str | None  # of the last attempt; None: the first one is on its way


@dataclass(frozen=True, slots=True)
class ReceiverStatus:
    """How telling goes, by receiver, as people see it."""

    receiver: str
    kind: str
    severity: str
    waiting: int  # notices that it has not taken
    waiting_seconds: float  # since the oldest of them was first tried; 0 without any
    told_at: datetime | None  # when it took the last one
    error: str | None  # of the last attempt of what waits
    told_of: int | None = None  # the incident that the last one was about, of a storm its first
    failing_since: datetime | None = None  # when the oldest that failed was first tried
    notices: tuple[Waiting, ...] = ()  # what waits, the oldest first; of many the first
