"""What follows a promotion: the bake window, and who is told of a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class BakeState(StrEnum):
    """Where the time after a promotion stands, in which an alarm may take it back."""

    BAKING = "baking"  # -> all of the others
    UNSEEN = "unseen"  # too few traces in time; it goes on -> all of the others
    ASKS = "asks"  # an alarm counts, and an operator decides -> rolled_back, kept, ended
    PASSED = "passed"  # final, as are all below
    ROLLED_BACK = "rolled_back"
    KEPT = "kept"  # an operator's word
    ENDED = "ended"  # another promotion took its place

    @property
    def is_open(self) -> bool:
        return self in {BakeState.BAKING, BakeState.UNSEEN, BakeState.ASKS}


@dataclass(frozen=True, slots=True)
class Bake:
    job_id: int
    role: str  # of `runs.model.ModelRole`
    version: str
    observed_as: str  # the streams' policy model, or their scorer version
    state: BakeState
    started_at: datetime
    start_place: int  # alarms that were decided before do not count
    traces_wanted: int
    traces_seen: int
    alarm_id: int | None = None
    reason: str | None = None  # why it is where it is
    ended_at: datetime | None = None
    former: str | None = None  # as `observed_as`, of the one whose place it took


class Channel(StrEnum):
    """A way of telling."""

    WEBHOOK = "webhook"
    KAFKA = "kafka"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far telling has come, one way."""

    channel: Channel
    delivered_at: datetime | None
    attempts: int
    retry_at: datetime | None
    error: str | None  # why the last attempt failed


@dataclass(frozen=True, slots=True)
class Announcement:
    announcement_id: int  # later ones have higher numbers
    job_id: int
    event: str  # "policy.promoted" or "policy.rolled_back"
    version: str
    payload: Mapping[str, object]
    created_at: datetime
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """What one channel still has to tell."""

    announcements: int
    seconds: float  # since the oldest of them; 0 without any
