"""What an alarm's page shows: the log as its curves are drawn from it, and what is stored around the alarm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, Engine, and_, func, or_, select, text

from monitor.domain.alarm import StoredAlarm
from monitor.domain.episode import EpisodeRecords, FrozenBaseline, GivenOrder, KeptText, Released
from monitor.domain.job import Job, JobState
from monitor.domain.observation import LogEnd, Moment, moment_of
from monitor.postgres import schema
from monitor.postgres.alarm_row import stored_alarm
from monitor.postgres.engine import transaction
from monitor.postgres.jobs import PostgresJobs
from monitor.postgres.streams import PostgresFoldStore

MAX_ROWS = 100  # of each kind of event, the newest
RELEASES = (JobState.PROMOTED, JobState.ROLLED_BACK)
_END = text(
    "select sequence, first_place + places as stop from log_entry where sequence is not null"
    " order by first_place desc, sequence desc limit 1"
)
MOMENTS = text(
    "select i.place, e.created_at,"
    " substring(s.timestamps from (8 * (i.place - e.first_place))::int + 1 for 8) as timestamp"
    " from unnest(cast(:places as bigint[])) as i(place)"
    " cross join lateral (select entry_id, first_place, places, created_at from log_entry"
    "   where first_place <= i.place and places > 0 order by first_place desc limit 1) e"
    " join log_subject s using (entry_id) where i.place < e.first_place + e.places order by i.place"
)
MAX_CHARACTERS = 4000  # of one text
_TEXTS = text(  # what is stored is what redaction has left of it
    "select s.trace_id, t.messages -> -1 ->> 'content' as prompt, t.response from stored_trace s join trace t"
    " on t.stored_on = s.stored_on and t.entry_id = s.entry_id and t.ordinal = s.ordinal where s.trace_id = any(:ids)"
    " union all select trace_id, messages -> -1 ->> 'content', response from baseline_trace where trace_id = any(:ids)"
)


class PostgresCurveLog(PostgresFoldStore):
    """The `drift.curve.CurveLog`."""

    @property
    def end(self) -> LogEnd:
        with transaction(self._engine) as connection:
            row = connection.execute(_END).one_or_none()
        return LogEnd(1, 0) if row is None else LogEnd(row.sequence + 1, row.stop)

    def moments(self, places: Sequence[int]) -> list[Moment]:
        with transaction(self._engine) as connection:
            rows = connection.execute(MOMENTS, {"places": list(places)}).all()
        return [
            Moment(row.place, moment_of(int.from_bytes(row.timestamp, "little", signed=True)), row.created_at)
            for row in rows
        ]


class PostgresEpisodes:
    """What is stored around an alarm."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def records(self, stored: StoredAlarm, *, since: datetime, until: datetime | None) -> EpisodeRecords:
        """Return the records about *stored*; baselines and releases of the clock's times *since* to *until*.

        Its own baseline is among them whenever it was frozen. Without *until* they go on to this moment.
        """
        with transaction(self._engine) as connection:
            return EpisodeRecords(
                episode=tuple(_episode(connection, stored)),
                orders=tuple(_orders(connection, stored)),
                baselines=tuple(baselines_between(connection, since, until, too=stored.baseline_id)),
                releases=tuple(releases_between(connection, since, until)),
                jobs=tuple(_jobs(connection, stored)),
            )

    def texts(self, trace_ids: Sequence[str]) -> dict[str, KeptText]:
        """Return prompt and answer of each of *trace_ids* whose texts are still kept, each cut where it is long."""
        with transaction(self._engine) as connection:
            rows = connection.execute(_TEXTS, {"ids": list(trace_ids)}).all()
        return {row.trace_id: _kept(row.prompt, row.response) for row in reversed(rows)}


def _kept(prompt: str | None, response: str | None) -> KeptText:
    cut = any(given is not None and len(given) > MAX_CHARACTERS for given in (prompt, response))
    return KeptText(
        prompt=None if prompt is None else prompt[:MAX_CHARACTERS],
        response=None if response is None else response[:MAX_CHARACTERS],
        cut=cut,
    )


def _episode(connection: Connection, stored: StoredAlarm) -> list[StoredAlarm]:
    table, alarm = schema.alarm.c, stored.alarm
    same = [table[name] == value for name, value in asdict(alarm.stream).items()]
    same += [table.kind == alarm.kind, table.episode == alarm.episode]
    same.append(table.baseline_id.is_not_distinct_from(stored.baseline_id))
    found = connection.execute(select(schema.alarm).where(*same).order_by(table.place, table.alarm_id))
    return [stored_alarm(row) for row in found]


def _orders(connection: Connection, stored: StoredAlarm) -> list[GivenOrder]:
    table = schema.audit.c
    subjects = [f"alarm {stored.alarm_id}", f"incident {stored.incident_id}"]
    newest = select(schema.audit).where(table.subject.in_(subjects)).order_by(table.audit_id.desc()).limit(MAX_ROWS)
    rows = connection.execute(newest).all()
    return [GivenOrder(row.at, row.actor, row.action, row.subject, row.detail) for row in reversed(rows)]


def baselines_between(
    connection: Connection, since: datetime, until: datetime | None, *, too: int | None = None
) -> list[FrozenBaseline]:
    """Return the newest baselines that were frozen then, oldest first, and *too* whenever it was."""
    table = schema.baseline.c
    columns = (table.baseline_id, table.created_at, table.created_by, table.note, table.stop_place)
    inside = and_(table.created_at >= since, table.created_at <= (func.now() if until is None else until))
    wanted = or_(table.baseline_id == too, inside)
    rows = connection.execute(select(*columns).where(wanted).order_by(table.baseline_id.desc()).limit(MAX_ROWS)).all()
    return [FrozenBaseline(*row) for row in reversed(rows)]


def releases_between(connection: Connection, since: datetime, until: datetime | None) -> list[Released]:
    """Return the newest promotions then, and those taken back, oldest first."""
    event, job = schema.job_event.c, schema.job.c
    query = (
        select(event.at, event.job_id, job.action, job.candidate_version, event.actor, event.state)
        .join(schema.job, job.job_id == event.job_id)
        .where(event.state.in_(RELEASES), event.at >= since, event.at <= (func.now() if until is None else until))
        .order_by(event.job_event_id.desc())
        .limit(MAX_ROWS)
    )
    return [
        Released(
            at=row.at,
            job_id=row.job_id,
            action=row.action,
            version=row.candidate_version or "",
            actor=row.actor,
            taken_back=row.state == JobState.ROLLED_BACK,
        )
        for row in reversed(connection.execute(query).all())
    ]


def _jobs(connection: Connection, stored: StoredAlarm) -> list[Job]:
    alarm, job = schema.alarm.c, schema.job.c
    of_incident = select(alarm.alarm_id).where(alarm.incident_id == stored.incident_id)
    wanted = or_(job.alarm_id == stored.alarm_id, job.alarm_id.in_(of_incident))
    numbers = connection.execute(select(job.job_id).where(wanted).order_by(job.job_id.desc()).limit(MAX_ROWS))
    records = PostgresJobs(connection).by_number(list(numbers.scalars()))
    return [record.job for _, record in sorted(records.items())]
