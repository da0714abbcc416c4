"""Retraining jobs and the reward models they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, StringConstraints

from monitor.domain.job import Action, Job
from monitor.domain.order import JobOrder, allowed_orders
from monitor.domain.view import JobEvent
from monitor.errors import NotFound
from monitor.runs.model import Models
from monitor.web.auth import AnyActor, Operator
from monitor.web.problem import describe
from monitor.web.state import Limit, Number, Reads, Writes

router = APIRouter(tags=["jobs"])

# Printable text alone: PostgreSQL stores no NUL, and a reason is one line in a table.
_Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")
]


class StartJob(BaseModel):
    model_config = ConfigDict(extra="forbid")

    action: Action
    reason: _Reason


@dataclass(frozen=True, slots=True)
class JobItem:
    job: Job
    orders: tuple[JobOrder, ...]  # what an operator may ask of it now


@dataclass(frozen=True, slots=True)
class JobPage:
    job: Job
    orders: tuple[JobOrder, ...]
    events: tuple[JobEvent, ...]  # oldest first


@router.get("/jobs")
def list_jobs(_: AnyActor, views: Reads, limit: Limit = 100) -> Sequence[JobItem]:
    return [_item(job) for job in views.jobs(limit=limit)]


@router.get("/jobs/{job_id}", responses=describe(404))
def get_job(_: AnyActor, views: Reads, job_id: Number) -> JobPage:
    detail = views.job(job_id)
    if detail is None:
        raise NotFound(f"there is no job {job_id}: /api/v1/jobs lists them")
    return JobPage(detail.job, allowed_orders(detail.job.state), detail.events)


@router.post("/jobs", status_code=201, responses=describe(409))
def start_job(actor: Operator, commands: Writes, start: StartJob) -> JobItem:
    """Start a job by hand; one job of an action can be live at a time."""
    return _item(commands.start_job(start.action, start.reason, actor=actor))


@router.post("/jobs/{job_id}/{order}", responses=describe(404, 409))
def order_job(actor: Operator, commands: Writes, job_id: Number, order: JobOrder) -> JobItem:
    """Approve or reject what waits for an operator, cancel what runs, roll back what was promoted."""
    return _item(commands.move_job(job_id, order, actor=actor))


@router.get("/models")
def get_models(_: AnyActor, views: Reads) -> Models:
    return views.models()


def _item(job: Job) -> JobItem:
    return JobItem(job, allowed_orders(job.state))
