"""The jobs' rows and events: read as records, inserted, changed. No state is judged here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, insert, null, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.job import Action, Job, JobState, Launch, RunProgress, Verdict
from monitor.domain.view import JobEvent
from monitor.postgres import schema
from monitor.postgres.document import clean, document
from monitor.retraining.records import HELD, Author, JobChange, JobFact, JobRecord, JobStep, Lease, Report, RunHandle
from monitor.runs.action import ACTIONS
from monitor.runs.spec import RunSpec

MAX_FACTS = 200  # jobs of an action that a decision looks at
_JOB = schema.job.c
_EXPIRED = func.coalesce(_JOB.lease_expires_at < func.now(), text("false")).label("lease_expired")
_DOCUMENTS = {"spec", "result", "verdict", "handle", "progress_detail"}
_TEXTS = {"progress", "error"}


class PostgresJobs:
    """`retraining.work.Jobs` within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def locked(self, job_id: int) -> JobRecord | None:
        return self._one(_query().where(_JOB.job_id == job_id).with_for_update())

    def locked_if_free(self, job_id: int) -> JobRecord | None:
        return self._one(_query().where(_JOB.job_id == job_id).with_for_update(skip_locked=True))

    def get(self, job_id: int) -> JobRecord | None:
        return self._one(_query().where(_JOB.job_id == job_id))

    def in_states(self, states: Collection[JobState]) -> Sequence[JobRecord]:
        return self._all(_query().where(_JOB.state.in_(states)).order_by(_JOB.job_id))

    def with_run(self, states: Collection[JobState]) -> Sequence[JobRecord]:
        return self._all(_query().where(_JOB.state.in_(states), _JOB.handle.is_not(None)).order_by(_JOB.job_id))

    def by_number(self, job_ids: Collection[int]) -> Mapping[int, JobRecord]:
        return {record.job.job_id: record for record in self._all(_query().where(_JOB.job_id.in_(job_ids)))}

    def newest(
        self, limit: int, before: int | None = None, *, state: JobState | None = None, action: Action | None = None
    ) -> Sequence[JobRecord]:
        wanted = {_JOB.state: state, _JOB.action: action}
        query = _query().where(*(column == given for column, given in wanted.items() if given is not None))
        query = query.order_by(_JOB.job_id.desc()).limit(limit)
        return self._all(query if before is None else query.where(_JOB.job_id < before))

    def events(self, job_id: int) -> Sequence[JobEvent]:
        event = schema.job_event.c
        query = select(schema.job_event).where(event.job_id == job_id).order_by(event.job_event_id)
        return [JobEvent(row.at, row.state, row.actor, row.note) for row in self._connection.execute(query)]

    def insert(self, launch: Launch, state: JobState, *, reason: str, requested_by: str) -> JobRecord | None:
        """Add a job; a partial unique index says whether one of its action is live, so no race can."""
        values = {
            "action": launch.action,
            "state": state,
            "reason": clean(reason),
            "requested_by": requested_by,
            "alarm_id": launch.alarm_id,
        }
        return self._one(
            upsert(schema.job).values(values).on_conflict_do_nothing().returning(schema.job, _EXPIRED)  # type: ignore[arg-type]
        )

    def update(self, job_id: int, state: JobState, change: JobChange) -> JobRecord:
        statement = (
            update(schema.job)
            .where(_JOB.job_id == job_id)
            .values(state=state, updated_at=func.now(), **_columns(change))
            .returning(schema.job, _EXPIRED)
        )
        return _record(self._connection.execute(statement).mappings().one())

    def beat(self, lease: Lease, *, seconds: float, progress: str | None, detail: RunProgress | None) -> bool:
        statement = (
            update(schema.job)
            .where(_JOB.job_id == lease.job_id, _JOB.lease_owner == lease.owner, _JOB.attempt == lease.attempt)
            .where(_JOB.state.in_(HELD))
            .values(lease_expires_at=_from_now(seconds))
        )
        if progress is not None:
            statement = statement.values(progress=clean(progress))
        if detail is not None:
            statement = statement.values(progress_detail=document(detail))
        return self._connection.execute(statement).rowcount == 1

    def forget_run(self, job_id: int, handle: RunHandle) -> None:
        same = _JOB.job_id == job_id, _JOB.handle == document(handle)
        self._connection.execute(update(schema.job).where(*same).values(handle=null()))

    def add_event(self, job_id: int, state: JobState, *, by: Author, note: str) -> None:
        row = {"job_id": job_id, "state": state, "actor": by.name, "note": clean(note)}
        self._connection.execute(insert(schema.job_event).values(row))

    def keep_report(self, job_id: int, report: Report) -> None:
        values = {"sha256": report.sha256, "page": report.page}
        kept = upsert(schema.job_report).values(job_id=job_id, **values)
        again = kept.on_conflict_do_update(index_elements=["job_id"], set_={**values, "created_at": func.now()})
        self._connection.execute(again)

    def report(self, job_id: int) -> Report | None:
        query = select(schema.job_report).where(schema.job_report.c.job_id == job_id)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else Report(row.sha256, bytes(row.page))

    def facts(self, action: Action) -> Sequence[JobFact]:
        alarm, bake = schema.alarm.c, schema.bake.c
        query = (
            select(schema.job, alarm.incident_id, bake.job_id.label("bake_id"), bake.ended_at)
            .outerjoin(schema.alarm, alarm.alarm_id == _JOB.alarm_id)
            .outerjoin(schema.bake, bake.job_id == _JOB.job_id)
            .where(_JOB.action == action)
            .order_by(_JOB.job_id.desc())
            .limit(MAX_FACTS)
        )
        return [
            JobFact(
                job_id=row.job_id,
                state=JobState(row.state),
                created_at=row.created_at,
                moved_at=row.updated_at,
                alarm_id=row.alarm_id,
                incident_id=row.incident_id,
                is_baking=row.bake_id is not None and row.ended_at is None,
                baked_at=row.ended_at,
            )
            for row in self._connection.execute(query)
        ]

    def steps_since(self, time: datetime) -> Sequence[JobStep]:
        event = schema.job_event.c
        recent = select(_JOB.job_id).where((_JOB.updated_at >= time) | (_JOB.state == JobState.RUNNING))
        query = select(event.job_id, event.state, event.at).where(event.job_id.in_(recent)).order_by(event.job_event_id)
        return [JobStep(row.job_id, JobState(row.state), row.at) for row in self._connection.execute(query)]

    def calendar_since(self, action: Action, cron: str) -> datetime | None:
        line = schema.calendar.c
        query = select(line.since).where(line.action == action, line.cron == cron)
        return self._connection.execute(query).scalar_one_or_none()

    def follow_calendar(self, action: Action, cron: str) -> None:
        line = {"action": action, "cron": cron}
        self._connection.execute(upsert(schema.calendar).values(line).on_conflict_do_nothing())

    def _one(self, query: Select[Any]) -> JobRecord | None:
        row = self._connection.execute(query).mappings().one_or_none()
        return None if row is None else _record(row)

    def _all(self, query: Select[Any]) -> list[JobRecord]:
        return [_record(row) for row in self._connection.execute(query).mappings()]


def _query() -> Select[Any]:
    return select(schema.job, _EXPIRED)


def _from_now(seconds: float) -> ColumnElement[datetime]:
    """A lease is measured by the database's clock alone: the replicas' own may differ."""
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def _columns(change: JobChange) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, value in change.items():
        if name == "lease_seconds":
            columns["lease_expires_at"] = null() if value is None else _from_now(value)  # type: ignore[arg-type]
        elif value is None:
            columns[name] = null()  # of SQL: JSON has one of its own
        elif name in _DOCUMENTS:
            columns[name] = document(value)
        else:
            columns[name] = clean(str(value)) if name in _TEXTS else value
    return columns


def _record(row: RowMapping) -> JobRecord:
    action = Action(row["action"])
    return JobRecord(
        job=Job(
            job_id=row["job_id"],
            action=action,
            state=JobState(row["state"]),
            reason=row["reason"],
            requested_by=row["requested_by"],
            alarm_id=row["alarm_id"],
            attempt=row["attempt"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            progress=row["progress"],
            verdict=_parse(row["verdict"], Verdict),
            error=row["error"],
            candidate_version=row["candidate_version"],
            progress_detail=_parse(row["progress_detail"], RunProgress),
        ),
        spec=_parse(row["spec"], RunSpec),
        result=None if action not in ACTIONS else _parse(row["result"], ACTIONS[action].result),
        handle=_parse(row["handle"], RunHandle),
        lease_owner=row["lease_owner"],
        lease_expired=row["lease_expired"],
        lost=row["lost"],
    )


def _parse(value: Any, kind: type[Any]) -> Any:
    """Read a stored document: numbers may stand as words, and what other releases wrote beside ours is passed over."""
    return None if value is None else msgspec.convert(value, kind, strict=False)
