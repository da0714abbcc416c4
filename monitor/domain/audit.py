"""Who changed, or read, what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AuditRow:
    audit_id: int
    at: datetime
    actor: str
    role: str  # of a token's holder, or "daemon"
    action: str  # alarm.acknowledge, job.approve, trace.read, ...
    subject: str  # "alarm 7", "trace t-1", ...
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which rows are looked for; None leaves out a bound."""

    actor: str | None = None
    action: str | None = None  # whole, or what stands before its dot: "alarm"
    subject: str | None = None
    since: datetime | None = None  # aware
    until: datetime | None = None  # exclusive
