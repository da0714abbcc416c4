"""Retraining jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from monitor.domain.job import Action, Job, JobState, Offer, PlannedStart
from monitor.domain.order import Actor, JobOrder, allowed_orders
from monitor.domain.release import Bake
from monitor.domain.shadow import Shadow
from monitor.domain.view import JobDetail, JobEvent
from monitor.errors import NotFound
from monitor.web.auth import Operator, Viewer
from monitor.web.paging import LINK, NumberedPage, WholePage, span
from monitor.web.problem import describe
from monitor.web.routes.alarm import AlarmsPort
from monitor.web.routes.model import ReleasesPort
from monitor.web.state import MAX_NUMBER, Number, kept

router = APIRouter(tags=["jobs"])

# The page allows its own style alone, by its hash; nothing of it may run, be framed or be sent.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; sandbox"
)

# Printable text alone: PostgreSQL stores no NUL, and a reason is one line in a table.
_Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")
]


class Jobs(Protocol):
    """Each change writes its row of the audit table in the same transaction.

    A change raises `NotFound` for a number nobody has, and `Conflict` where the job's state does not allow it.
    """

    def jobs(
        self, *, limit: int, before: int | None = None, state: JobState | None = None, action: Action | None = None
    ) -> Sequence[Job]:
        """Return the newest jobs first, those numbered below *before*, in *state* and of *action* where given."""
        ...

    def job(self, job_id: int) -> JobDetail | None: ...

    def verdict_page(self, job_id: int) -> bytes | None:
        """Return the page of a job's verdict, HTML; None where it has none."""
        ...

    def plan(self) -> Sequence[PlannedStart]:
        """Return what every rule, and then the calendar, would do now."""
        ...

    def offers(self) -> Sequence[Offer]:
        """Return every action, and what it lacks where nobody can start it."""
        ...

    def start_job(
        self, action: Action, reason: str, *, actor: Actor, force: bool = False, alarm_id: int | None = None
    ) -> Job:
        """Queue a job by hand; `Conflict` while another job of the action is live, where it has nothing to train, and,
        unless it is forced, where annotators do not agree or have changed, or the budget is spent."""
        ...

    def move_job(self, job_id: int, order: JobOrder, *, actor: Actor) -> Job:
        """Carry out *order* as `domain.order.ORDERS` has it."""
        ...

    def override(self, job_id: int, reason: str, *, actor: Actor) -> Job:
        """Promote a candidate that failed the gate."""
        ...


JobsPort = Annotated[Jobs, kept("jobs")]
_PAGE = {"content": {"text/html": {"example": "<!doctype html><title>Job 7: the gate's verdict</title>"}}}


class StartJob(BaseModel):
    model_config = ConfigDict(extra="forbid")

    action: Action
    reason: _Reason
    force: bool = Field(False, description="although annotators do not agree or have changed, or the budget is spent")
    alarm_id: Annotated[int, Field(ge=1, le=MAX_NUMBER)] | None = Field(None, description="the alarm that it answers")


class Override(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: _Reason = Field(description="why the verdict does not count")


@dataclass(frozen=True, slots=True)
class JobItem:
    job: Job
    orders: tuple[JobOrder, ...]  # what an operator may ask of it now
    bake: Bake | None = None  # that is open


@dataclass(frozen=True, slots=True)
class JobPage:
    job: Job
    orders: tuple[JobOrder, ...]
    events: tuple[JobEvent, ...]  # oldest first
    bake: Bake | None = None  # open or ended
    shadow: Shadow | None = None  # of an ensemble: its candidate beside the champion


@router.get("/jobs", responses={200: {"headers": LINK}})
def list_jobs(
    _: Viewer,
    jobs: JobsPort,
    releases: ReleasesPort,
    page: NumberedPage,
    *,
    state: Annotated[JobState | None, Query(description="only those in this state; all without")] = None,
    action: Annotated[Action | None, Query(description="only those of this action; all without")] = None,
) -> Sequence[JobItem]:
    """List jobs, the newest first, with what an operator may ask of each."""
    baking = {bake.job_id: bake for bake in releases.open_bakes()}
    kept = jobs.jobs(limit=page.wanted, before=page.after, state=state, action=action)
    found = page.give(kept, lambda job: job.job_id)
    return [_item(job, baking.get(job.job_id)) for job in found]


@router.get("/jobs/plan", responses={200: {"headers": LINK}})
def plan_jobs(_: Viewer, jobs: JobsPort, page: WholePage) -> Sequence[PlannedStart]:
    """List what each rule and the calendar would start now, and what holds them."""
    return span(page, jobs.plan())


@router.get("/jobs/actions", responses={200: {"headers": LINK}})
def list_actions(_: Viewer, jobs: JobsPort, page: WholePage) -> Sequence[Offer]:
    """List what can be started by hand, and what an action lacks that cannot."""
    return span(page, jobs.offers())


@router.get("/jobs/{job_id}", responses=describe(404))
def get_job(_: Viewer, jobs: JobsPort, releases: ReleasesPort, job_id: Number) -> JobPage:
    detail = jobs.job(job_id)
    if detail is None:
        raise NotFound(f"there is no job {job_id}: /api/v1/jobs lists them")
    bake = releases.bake(job_id)
    orders = allowed_orders(detail.job.state, baking=bake is not None and bake.state.is_open)
    return JobPage(detail.job, orders, detail.events, bake, releases.shadow(job_id))


@router.get("/jobs/{job_id}/report", response_class=HTMLResponse, responses={**describe(404), 200: _PAGE})
def get_report(_: Operator, jobs: JobsPort, job_id: Number) -> HTMLResponse:
    """Return the report of the gate's verdict, one page that needs nothing else; it shows prompts and answers."""
    page = jobs.verdict_page(job_id)
    if page is None:
        raise NotFound(f"job {job_id} has no report: it was not judged yet, or its events say what went wrong")
    return HTMLResponse(page, headers={"Content-Security-Policy": REPORT_POLICY})


@router.post("/jobs", status_code=201, responses=describe(404, 409))
def start_job(actor: Operator, jobs: JobsPort, alarms: AlarmsPort, start: StartJob) -> JobItem:
    """Start a job by hand; one job of an action can be live at a time."""
    if start.alarm_id is not None and alarms.alarm(start.alarm_id) is None:
        raise NotFound(f"alarm_id = {start.alarm_id}: there is no such alarm; /api/v1/alarms lists them")
    return _item(jobs.start_job(start.action, start.reason, actor=actor, force=start.force, alarm_id=start.alarm_id))


@router.post("/jobs/{job_id}/override", responses=describe(404, 409))
def override_gate(actor: Operator, jobs: JobsPort, job_id: Number, body: Override) -> JobItem:
    """Promote a candidate that failed the gate; the audit keeps the reason."""
    return _item(jobs.override(job_id, body.reason, actor=actor))


@router.post("/jobs/{job_id}/approve", responses=describe(404, 409))
def approve_job(actor: Operator, jobs: JobsPort, job_id: Number) -> JobItem:
    """Let a job run that waits for an operator, or promote what it has made where promotion waits for one."""
    return _item(jobs.move_job(job_id, JobOrder.APPROVE, actor=actor))


@router.post("/jobs/{job_id}/reject", responses=describe(404, 409))
def reject_job(actor: Operator, jobs: JobsPort, job_id: Number) -> JobItem:
    """End a job that waits for an operator."""
    return _item(jobs.move_job(job_id, JobOrder.REJECT, actor=actor))


@router.post("/jobs/{job_id}/cancel", responses=describe(404, 409))
def cancel_job(actor: Operator, jobs: JobsPort, job_id: Number) -> JobItem:
    """End a job that is queued or runs."""
    return _item(jobs.move_job(job_id, JobOrder.CANCEL, actor=actor))


@router.post("/jobs/{job_id}/rollback", responses=describe(404, 409))
def roll_back_job(actor: Operator, jobs: JobsPort, job_id: Number) -> JobItem:
    """Take back what a job has promoted: the champion before it is the champion again."""
    return _item(jobs.move_job(job_id, JobOrder.ROLLBACK, actor=actor))


@router.post("/jobs/{job_id}/keep", responses=describe(404, 409))
def keep_job(actor: Operator, jobs: JobsPort, job_id: Number) -> JobItem:
    """Keep what a job has promoted, and so end its bake window."""
    return _item(jobs.move_job(job_id, JobOrder.KEEP, actor=actor))


def _item(job: Job, bake: Bake | None = None) -> JobItem:
    return JobItem(job, allowed_orders(job.state, baking=bake is not None), bake)
