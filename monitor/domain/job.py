"""A retraining job: durable intent, its states and who may move it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Action(StrEnum):
    REWARD_REFRESH = "reward_refresh"
    DPO = "dpo"  # of a policy, from preference pairs
    KTO = "kto"  # of a policy, from thumbs
    REFUSAL_REFRESH = "refusal_refresh"  # of the model that reads refusals, from labels


class JobState(StrEnum):
    # Waits for an operator: a rule wants it so, or a run met what another try cannot mend, as a full disk; `error`
    AWAITING_APPROVAL = "awaiting_approval"  # says what. -> queued (operator approves), cancelled (operator rejects)
    QUEUED = "queued"  # -> leased (a launcher takes it), cancelled
    # From the next three a job goes back to queued when its attempt failed or its run is gone, and to
    # awaiting_approval for what another try cannot mend.
    LEASED = "leased"  # -> running (the run starts), queued, awaiting_approval, failed, cancelled
    RUNNING = "running"  # -> evaluating (a RunResult came), queued, awaiting_approval, failed, cancelled
    EVALUATING = "evaluating"  # -> passed | failed_gate (the gate's verdict), and all that running has
    PASSED = "passed"  # -> promoted
    FAILED_GATE = "failed_gate"  # -> promoted by a signed override
    FAILED = "failed"  # final
    PROMOTED = "promoted"  # -> rolled_back
    ROLLED_BACK = "rolled_back"  # final
    CANCELLED = "cancelled"  # final


_S = JobState
_GIVEN_UP = frozenset({_S.QUEUED, _S.AWAITING_APPROVAL, _S.FAILED, _S.CANCELLED})
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    _S.AWAITING_APPROVAL: frozenset({_S.QUEUED, _S.CANCELLED}),
    _S.QUEUED: frozenset({_S.LEASED, _S.CANCELLED}),
    _S.LEASED: _GIVEN_UP | {_S.RUNNING},
    _S.RUNNING: _GIVEN_UP | {_S.EVALUATING},
    _S.EVALUATING: _GIVEN_UP | {_S.PASSED, _S.FAILED_GATE},
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
    until: datetime | None = None  # when it ends by itself, where that is known


@dataclass(frozen=True, slots=True)
class Launch:
    action: Action
    alarm_id: int | None
    needs_approval: bool


@dataclass(frozen=True, slots=True)
class PlannedStart:
    """What a rule or the calendar would do now."""

    rule: str  # what it answers, for people
    action: Action
    decision: str  # "launch", or the reason of the first of `holds`
    detail: str
    until: datetime | None = None  # of that hold
    holds: tuple[Hold, ...] = ()  # all that are known; what takes long to know is asked where nothing else holds


@dataclass(frozen=True, slots=True)
class Span:
    """A difference from the champion with its 95% interval, beside where that interval must lie."""

    lower: float
    middle: float
    upper: float
    least: float | None  # None: nothing bounds that side
    most: float | None
    unit: str  # of all of them, for people


@dataclass(frozen=True, slots=True)
class Offer:
    """An action that can be started by hand, or what it lacks."""

    action: Action
    lacks: Hold | None  # nobody can force it


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a gate's verdict."""

    name: str
    passed: bool
    candidate: float
    champion: float | None
    margin: float
    reason: str
    span: Span | None = None  # None: nothing with an interval was compared


@dataclass(frozen=True, slots=True)
class Verdict:
    passed: bool
    checks: tuple[Check, ...]
    evidence_sha256: str


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run has come; `line` is the whole of it in words."""

    line: str
    done: int  # optimizer steps over all that is trained
    total: int  # 0 before it is known
    loss: float | None = None  # the last
    rate: float | None = None  # optimizer steps a second, of late
    seconds_left: float | None = None  # of the training, at that rate; what comes after it is not counted
    phase: str = "training"  # or "preparing", "sampling", "evaluating", as the run says

    @property
    def ratio(self) -> float | None:
        """Return the share of the steps that are done, None before their number is known."""
        return min(self.done / self.total, 1.0) if self.total > 0 else None


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
    progress_detail: RunProgress | None = None  # of the run whose last line `progress` is
