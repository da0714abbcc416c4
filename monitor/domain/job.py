"""A retraining job: durable intent, its states and who may move it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Action(StrEnum):
    REWARD_REFRESH = "reward_refresh"
    DPO = "dpo"


class JobState(StrEnum):
    AWAITING_APPROVAL = "awaiting_approval"  # -> queued (operator approves), cancelled (operator rejects)
    QUEUED = "queued"  # -> leased (a launcher takes it), cancelled
    LEASED = "leased"  # -> running (the run started), queued (the lease ran out), failed, cancelled
    RUNNING = "running"  # -> evaluating (a RunResult came), queued (the lease ran out), failed, cancelled
    EVALUATING = "evaluating"  # -> passed | failed_gate (the gate's verdict), queued, failed, cancelled
    PASSED = "passed"  # -> promoted
    FAILED_GATE = "failed_gate"  # -> promoted by a signed override
    FAILED = "failed"  # final
    PROMOTED = "promoted"  # -> rolled_back
    ROLLED_BACK = "rolled_back"  # final
    CANCELLED = "cancelled"  # final


_S = JobState
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    _S.AWAITING_APPROVAL: frozenset({_S.QUEUED, _S.CANCELLED}),
    _S.QUEUED: frozenset({_S.LEASED, _S.CANCELLED}),
    _S.LEASED: frozenset({_S.RUNNING, _S.QUEUED, _S.FAILED, _S.CANCELLED}),
    _S.RUNNING: frozenset({_S.EVALUATING, _S.QUEUED, _S.FAILED, _S.CANCELLED}),
    _S.EVALUATING: frozenset({_S.PASSED, _S.FAILED_GATE, _S.QUEUED, _S.FAILED, _S.CANCELLED}),
    _S.PASSED: frozenset({_S.PROMOTED, _S.CANCELLED}),
    _S.FAILED_GATE: frozenset({_S.PROMOTED}),
    _S.FAILED: frozenset(),
    _S.PROMOTED: frozenset({_S.ROLLED_BACK}),
    _S.ROLLED_BACK: frozenset(),
    _S.CANCELLED: frozenset(),
}
LIVE = frozenset({_S.AWAITING_APPROVAL, _S.QUEUED, _S.LEASED, _S.RUNNING, _S.EVALUATING, _S.PASSED})


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing is started; `reason` is one word an operator can look up."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Launch:
    action: Action
    alarm_id: int | None
    needs_approval: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a gate's verdict."""

    name: str
    passed: bool
    candidate: float
    champion: float | None
    margin: float
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    passed: bool
    checks: tuple[Check, ...]
    evidence_sha256: str


@dataclass(frozen=True, slots=True)
class Job:
    job_id: int
    action: Action
    state: JobState
    reason: str  # why it was started, in words
    requested_by: str
    alarm_id: int | None
    attempt: int
    created_at: datetime
    updated_at: datetime
    progress: str | None = None  # last line the run reported
    verdict: Verdict | None = None
    error: str | None = None
    candidate_version: str | None = None
