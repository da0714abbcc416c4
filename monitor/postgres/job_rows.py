"""A job's row: read as a `Job`, locked, and moved from state to state with its event and its audit entry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, func, insert, select, update

from monitor.domain.job import TRANSITIONS, Action, Job, JobState, Verdict
from monitor.domain.order import Actor
from monitor.errors import Conflict, NotFound
from monitor.postgres import schema
from monitor.runs.result import RESULTS, RunResult
from monitor.runs.spec import RunSpec

MAX_TEXT_CHARACTERS = 2_000  # of an error or a note: the run's log has the rest


@dataclass(frozen=True, slots=True)
class Author:
    """Who changed a job: a person with a role, or a part of the daemon."""

    name: str
    role: str  # of `domain.order.Role`, or "daemon"


def author_of(actor: Actor) -> Author:
    return Author(actor.name, actor.role)


def lock_job(connection: Connection, job_id: int) -> RowMapping:
    """Return the job's row, locked until the transaction ends; raise `NotFound` if there is none."""
    query = select(schema.job).where(schema.job.c.job_id == job_id).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"job {job_id}: no such job")
    return row


def move(
    connection: Connection, row: RowMapping, state: JobState, *, by: Author, note: str, **values: object
) -> RowMapping:
    """Move a locked job to *state*, set *values*, write its event and audit entry; return the new row.

    Raises `Conflict` where `TRANSITIONS` has no such step.
    """
    before = JobState(row["state"])
    if state not in TRANSITIONS[before]:
        raise Conflict(f"job {row['job_id']} is {before}; it cannot become {state}, {_next_states(before)}")
    changed = (
        update(schema.job)
        .where(schema.job.c.job_id == row["job_id"])
        .values(state=state, updated_at=func.now(), **values)
        .returning(schema.job)
    )
    after = connection.execute(changed).mappings().one()
    record_event(connection, row["job_id"], state, by=by, note=note)
    detail = {"from": before, "to": state, "note": clean(note)}
    record_audit(connection, by=by, action=f"job.{state}", subject=f"job {row['job_id']}", detail=detail)
    return after


def record_event(connection: Connection, job_id: int, state: JobState, *, by: Author, note: str) -> None:
    connection.execute(insert(schema.job_event).values(job_id=job_id, state=state, actor=by.name, note=clean(note)))


def record_audit(
    connection: Connection, *, by: Author, action: str, subject: str, detail: Mapping[str, object]
) -> None:
    entry = {"actor": by.name, "role": by.role, "action": action, "subject": subject, "detail": document(detail)}
    connection.execute(insert(schema.audit).values(entry))


def job_of(row: RowMapping) -> Job:
    return Job(
        job_id=row["job_id"],
        action=Action(row["action"]),
        state=JobState(row["state"]),
        reason=row["reason"],
        requested_by=row["requested_by"],
        alarm_id=row["alarm_id"],
        attempt=row["attempt"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        progress=row["progress"],
        verdict=verdict_of(row),
        error=row["error"],
        candidate_version=row["candidate_version"],
    )


def verdict_of(row: RowMapping) -> Verdict | None:
    return None if row["verdict"] is None else msgspec.convert(row["verdict"], Verdict, strict=False)


def spec_of(row: RowMapping) -> RunSpec | None:
    return None if row["spec"] is None else msgspec.convert(row["spec"], RunSpec, strict=False)


def result_of(row: RowMapping) -> RunResult | None:
    kind = RESULTS[Action(row["action"])]
    return None if row["result"] is None else msgspec.convert(row["result"], kind, strict=False)


def document(value: object) -> Any:
    """Return *value* as JSON that JSONB takes: NaN and infinity become the words "nan", "inf", "-inf"."""
    return _storable(msgspec.to_builtins(value))


def clean(text: str) -> str:
    """Return *text* as a Text column takes it: no NUL, no lone surrogate, not endless."""
    return _text(text[:MAX_TEXT_CHARACTERS])


def _text(text: str) -> str:
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_storable(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _next_states(state: JobState) -> str:
    following = sorted(TRANSITIONS[state])
    return f"only {' or '.join(following)}" if following else "that state is final"
