"""The values that pass between retraining's decisions and what stores and launches for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from monitor.domain.alarm import AlarmState, ReferenceVerdict, ScorerVerdict, Severity
from monitor.domain.incident import LikelyCause
from monitor.domain.job import LIVE, Action, Hold, Job, JobState, RunProgress, Verdict
from monitor.runs.artifact import Artifact
from monitor.runs.calibration import ScorerCalibration
from monitor.runs.lineage import Lineage
from monitor.runs.refusal import RefusalResult
from monitor.runs.result import PairMetrics, RewardResult, RunResult
from monitor.runs.spec import RunSpec
from monitor.stats.agreement import Agreement, Turnover

# A lease is held in these states.
HELD = frozenset({JobState.LEASED, JobState.RUNNING, JobState.EVALUATING})


@dataclass(frozen=True, slots=True)
class Author:
    """Who changed a job: a person with a role, or a part of the daemon."""

    name: str
    role: str  # of `domain.order.Role`, or "daemon"


@dataclass(frozen=True, slots=True)
class RunHandle:
    """One start of a run: what another process needs to take it up again."""

    launcher: str
    host: str  # where it runs, as the launcher tells hosts apart
    folder: str  # absolute, of the attempt
    token: str  # of this start: a folder may be used again


@dataclass(frozen=True, slots=True)
class Report:
    """A verdict's page, as it is kept."""

    sha256: str  # of the page
    page: bytes  # gzip


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one attempt of a job; whoever else takes the job up fences it."""

    job_id: int
    action: Action
    attempt: int  # from 1
    owner: str


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job with what only its run and its release need."""

    job: Job
    spec: RunSpec | None
    result: RunResult | None
    handle: RunHandle | None  # of the run that may be alive
    lease_owner: str | None  # None while held: it was given back, with its run going on
    lease_expired: bool  # by the database's clock
    lost: int  # runs that were gone when the job was taken over; they are no attempts


class JobChange(TypedDict, total=False):
    """The columns a step may set beside the state."""

    attempt: int
    lost: int
    lease_owner: str | None
    lease_seconds: float | None  # from now, by the database's clock; None: no lease
    progress: str | None
    progress_detail: RunProgress | None
    spec: RunSpec
    result: RunResult
    verdict: Verdict
    error: str | None
    candidate_version: str
    handle: RunHandle | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A model as it is registered."""

    artifact: Artifact
    role: str
    metrics: PairMetrics | None = None
    job_id: int | None = None
    lineage: Lineage | None = None
    served_as: str | None = None
    card: str | None = None
    calibration: ScorerCalibration | None = None  # of an ensemble; it stays as it was registered first

    @classmethod
    def of(cls, result: RunResult, job_id: int, card: str | None = None) -> Registration:
        """Return what a job's run has made."""
        return cls(
            artifact=result.candidate,
            role=result.role,
            metrics=result.metrics,
            job_id=job_id,
            lineage=result.lineage,
            card=card,
            served_as=result.reads_as if isinstance(result, RefusalResult) else None,
            calibration=result.calibration if isinstance(result, RewardResult) else None,
        )


@dataclass(frozen=True, slots=True)
class Pointer:
    """Whom a role of the registry names."""

    version: str
    previous: str | None


@dataclass(frozen=True, slots=True)
class AlarmFact:
    """What a rule must know of a drift that has not ended."""

    alarm_id: int
    signal: str
    severity: Severity  # its own, whatever a verdict has made of it
    state: AlarmState
    created_at: datetime
    incident_id: int | None
    incident_state: AlarmState
    causes: tuple[LikelyCause, ...] = ()  # what it tells of its cause, with what was asked at that time
    reference_verdict: ReferenceVerdict | None = None
    scorer_verdict: ScorerVerdict | None = None
    seen_at: datetime | None = None  # the last timestamp of its stream

    @property
    def name(self) -> str:
        """Return what people call it."""
        own = f"alarm {self.alarm_id} on {self.signal}"
        return own if self.incident_id is None else f"incident {self.incident_id}, {own}"


@dataclass(frozen=True, slots=True)
class JobFact:
    """What a rule must know of an earlier job of its action."""

    job_id: int
    state: JobState
    created_at: datetime
    moved_at: datetime  # into its state
    alarm_id: int | None
    incident_id: int | None  # of that alarm
    is_baking: bool = False
    baked_at: datetime | None = None

    def is_about(self, alarm: AlarmFact) -> bool:
        """Say whether the job answers *alarm*: it is of its incident, or was created after it."""
        of_incident = self.incident_id is not None and self.incident_id == alarm.incident_id
        return of_incident or self.alarm_id == alarm.alarm_id or self.created_at >= alarm.created_at


@dataclass(frozen=True, slots=True)
class JobStep:
    """A job came into a state."""

    job_id: int
    state: JobState
    at: datetime


@dataclass(frozen=True, slots=True)
class RunTime:
    """When a run was under way."""

    started_at: datetime
    ended_at: datetime | None  # None: it still is


@dataclass(frozen=True, slots=True)
class RaterFacts:
    """How far those agree who judged what a run would learn from; None where too little is known to say."""

    criteria_version: str | None = None
    raw: Agreement | None = None
    kappa: Agreement | None = None
    turnover: Turnover | None = None
    items: str = "pairs"  # that they judged
    labels: str = "preferences"


@dataclass(frozen=True, slots=True)
class LearningFacts:
    """What there is to learn from, for one action."""

    new: int  # since the champion's training data was taken
    raters: RaterFacts
    what: str = "preference pairs"  # that are counted


@dataclass(frozen=True, slots=True)
class TriggerFacts:
    """What a decision rests on, for one action."""

    alarms: tuple[AlarmFact, ...]
    jobs: tuple[JobFact, ...]  # of the action, the newest first
    runs: tuple[RunTime, ...] = ()  # of all actions, of the last week at least
    lacks: Hold | None = None  # what no run of the action can do without

    @property
    def live_job(self) -> JobFact | None:
        return next((job for job in self.jobs if job.state in LIVE), None)

    @property
    def last_started(self) -> datetime | None:
        """Return when the action's latest job was created, however it ended."""
        return max((job.created_at for job in self.jobs), default=None)
