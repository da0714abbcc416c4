"""What the console and the API read, from PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from sqlalchemy import Connection, Engine, select, text

from monitor.domain.alarm import AlarmState, StoredAlarm
from monitor.domain.job import Action, Job, JobState
from monitor.domain.observation import moment_of
from monitor.domain.order import Actor, JobOrder
from monitor.domain.stream import StreamKey, StreamStatus
from monitor.domain.view import BaselineSummary, JobDetail, Overview
from monitor.drift.status import status_of
from monitor.postgres import schema
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.engine import transaction
from monitor.postgres.leader import is_led
from monitor.postgres.log import COMBINED, TOTALS_OF
from monitor.postgres.placement import long_blocker
from monitor.postgres.registry import RewardRegistry
from monitor.postgres.streams import active_baseline
from monitor.runs.model import Models

# One statement, so one snapshot: an entry that is placed meanwhile is counted once.
_TOTALS = text(
    f"select name, label, ({COMBINED})::bigint as value from (select name, label, value from running_total"  # noqa: S608
    f" union all {TOTALS_OF.format(entries='e.sequence is null')}) as counted group by name, label order by name, label"
)
_FOLDED = text("select next_place from fold_position join baseline using (baseline_id) where active")
_APPENDED = text(
    "select coalesce((select first_place + places from log_entry where sequence is not null"
    " order by sequence desc limit 1), 0) + coalesce((select sum(places) from log_entry where sequence is null), 0)"
)
_LATEST_SCORERS = text(
    "select distinct signal, scorer_version from observation_batch"
    " where entry_id > (select max(entry_id) - 100 from log_entry)"
)


class Jobs(Protocol):
    """What is asked of the job service."""

    def jobs(self, *, limit: int) -> tuple[Job, ...]: ...
    def job(self, job_id: int) -> JobDetail | None: ...
    def start_job(self, action: Action, reason: str, *, actor: Actor) -> Job: ...
    def move_job(self, job_id: int, order: JobOrder, *, actor: Actor) -> Job: ...


class PostgresViews:
    """The web package's `Views`."""

    def __init__(self, engine: Engine, jobs: Jobs, *, kafka_lag: Callable[[], int | None]) -> None:
        self._engine = engine
        self._alarms = PostgresAlarms(engine)
        self._jobs = jobs
        self._registry = RewardRegistry(engine)
        self._kafka_lag = kafka_lag

    def overview(self) -> Overview:
        with transaction(self._engine) as connection:
            totals = {(row.name, row.label): row.value for row in connection.execute(_TOTALS)}
            open_alarms = connection.execute(
                text("select count(*) from alarm where state = :state"), {"state": AlarmState.OPEN}
            ).scalar_one()
            lag = fold_lag_places(connection)
            led = is_led(connection)
            blocker = long_blocker(connection)
        last = totals.get(("last_timestamp", ""))
        return Overview(
            traces=totals.get(("traces", ""), 0),
            repeats=totals.get(("repeats", ""), 0),
            duplicates=totals.get(("duplicates", ""), 0),
            preferences=totals.get(("preferences", ""), 0),
            dead_letters={reason: value for (name, reason), value in totals.items() if name == "dead_letters"},
            open_alarms=open_alarms,
            fold_lag_traces=lag,
            kafka_lag_records=self._kafka_lag(),
            has_leader=led,
            last_timestamp=None if last is None else moment_of(last),
            placement_blocked_by=None if blocker is None else str(blocker),
        )

    def fold_lag_traces(self) -> int:
        """Return how many traces are checkpointed and not folded: the ones that wait for a place as well."""
        with transaction(self._engine) as connection:
            return fold_lag_places(connection)

    def streams(self) -> tuple[StreamStatus, ...]:
        with transaction(self._engine) as connection:
            active = active_baseline(connection)
            if active is None:
                return ()
            query = select(schema.detector).where(schema.detector.c.baseline_id == active.baseline_id)
            rows = connection.execute(query).all()
        statuses = []
        for row in rows:
            key = StreamKey(row.signal, row.cohort, row.policy_model, row.scorer_version)
            law = active.baseline.get(key.signal, key.scorer_version)
            if law is not None:
                numbers = {name: getattr(row, name) for name in ("observations", "mean", "last_timestamp")}
                statuses.append(status_of(key, law, evidence_log=row.evidence_log, **numbers))
        return tuple(sorted(statuses, key=lambda status: status.key))

    def alarms(self, *, state: AlarmState | None, limit: int) -> tuple[StoredAlarm, ...]:
        return self._alarms.alarms(state=state, limit=limit)

    def alarm(self, alarm_id: int) -> StoredAlarm | None:
        return self._alarms.alarm(alarm_id)

    def jobs(self, *, limit: int) -> tuple[Job, ...]:
        return self._jobs.jobs(limit=limit)

    def job(self, job_id: int) -> JobDetail | None:
        return self._jobs.job(job_id)

    def models(self) -> Models:
        return self._registry.models()

    def baseline(self) -> BaselineSummary | None:
        with transaction(self._engine) as connection:
            row = connection.execute(select(schema.baseline).where(schema.baseline.c.active)).one_or_none()
        if row is None:
            return None
        return BaselineSummary(
            baseline_id=row.baseline_id,
            created_at=row.created_at,
            created_by=row.created_by,
            note=row.note,
            first_place=row.first_place,
            stop_place=row.stop_place,
            traces=row.stop_place - row.first_place,
        )

    def unwatched_cohorts(self) -> tuple[str, ...]:
        """Return the cohorts that were seen but have no law in the active baseline: nothing is said of them."""
        with transaction(self._engine) as connection:
            active = active_baseline(connection)
            names = set(connection.execute(select(schema.cohort.c.name)).scalars())
        if active is None:
            return ()
        return tuple(sorted(names - {row.cohort for law in active.baseline.signals for row in law.strata}))

    def unwatched_scorers(self) -> tuple[tuple[str, str], ...]:
        """Return signal and scorer of the latest observations for which the active baseline holds no law.

        So it is after a roll back to a model that a baseline frozen since has not seen, and where the
        scorer itself was replaced: nothing is said of its values until a baseline is frozen on them.
        """
        with transaction(self._engine) as connection:
            active = active_baseline(connection)
            seen = {(row.signal, row.scorer_version) for row in connection.execute(_LATEST_SCORERS)}
        return () if active is None else tuple(sorted(seen - {law.key for law in active.baseline.signals}))

    def job_counts(self) -> Mapping[tuple[Action, JobState], int]:
        """Return how many jobs there are, by action and state."""
        query = text("select action, state, count(*) as jobs from job group by action, state")
        with transaction(self._engine) as connection:
            return {(Action(row.action), JobState(row.state)): row.jobs for row in connection.execute(query)}


def fold_lag_places(connection: Connection) -> int:
    """Return how many places are appended and not folded under the active baseline; none without one."""
    folded = connection.execute(_FOLDED).scalar_one_or_none()
    return 0 if folded is None else int(connection.execute(_APPENDED).scalar_one()) - int(folded)


class PostgresCommands:
    """The web package's `Commands`."""

    def __init__(self, engine: Engine, jobs: Jobs) -> None:
        self._alarms = PostgresAlarms(engine)
        self._jobs = jobs

    def acknowledge(self, alarm_id: int, *, actor: Actor) -> StoredAlarm:
        return self._alarms.acknowledge(alarm_id, actor=actor)

    def start_job(self, action: Action, reason: str, *, actor: Actor) -> Job:
        return self._jobs.start_job(action, reason, actor=actor)

    def move_job(self, job_id: int, order: JobOrder, *, actor: Actor) -> Job:
        return self._jobs.move_job(job_id, order, actor=actor)
