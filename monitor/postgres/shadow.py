"""Shadow scores: which traces a candidate has scored beside the champion, and what both gave."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.job import Action, JobState
from monitor.domain.shadow import ShadowJob, ShadowScore, ShadowScores, ShadowTrace
from monitor.domain.trace import Message
from monitor.postgres import schema
from monitor.postgres.engine import transaction
from monitor.runs.model import ModelRole

_JOB = text(
    "select j.job_id, m.version, m.path, m.sha256, j.updated_at as passed_at, r.version as champion,"
    " (select count(*) from shadow_score s where s.job_id = j.job_id) as traces"
    " from job j join reward_model m on m.version = j.candidate_version and m.role = :role"
    " join registry r on r.role = :role and r.version = j.spec -> 'champion' ->> 'version'"
    " where j.state = :state and j.action = :action order by j.job_id limit 1"
)
_UNSCORED = text(
    "select t.trace_id, t.cohort, t.messages, t.response, s.mean, s.disagreement"
    " from trace t join score s on s.trace_id = t.trace_id and s.scorer_version = :champion"
    " where t.response is not null and not t.truncated"
    " and not exists (select from shadow_score d where d.job_id = :job_id and d.trace_id = t.trace_id)"
    " order by t.stored_on desc, t.entry_id desc, t.ordinal desc limit :limit"
)


class PostgresShadows:
    """`retraining.work.Shadows` within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def scored(self, job_id: int) -> int:
        of_job = schema.shadow_score.c.job_id == job_id
        found: int = self._connection.execute(
            select(func.count()).select_from(schema.shadow_score).where(of_job)
        ).scalar_one()
        return found


class ShadowLog:
    """`observe.shadow.ShadowStore`, and what operators see of it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def job(self) -> ShadowJob | None:
        asked = {"role": ModelRole.REWARD, "state": JobState.PASSED, "action": Action.REWARD_REFRESH}
        with transaction(self._engine) as connection:
            row = connection.execute(_JOB, asked).one_or_none()
        if row is None:
            return None
        return ShadowJob(row.job_id, row.version, row.path, row.sha256, row.champion, row.passed_at, row.traces)

    def unscored(self, job: ShadowJob, limit: int) -> Sequence[ShadowTrace]:
        asked = {"champion": job.champion, "job_id": job.job_id, "limit": limit}
        with transaction(self._engine) as connection:
            rows = connection.execute(_UNSCORED, asked).all()
        return [
            ShadowTrace(
                trace_id=row.trace_id,
                cohort=row.cohort,
                messages=tuple(Message(message["role"], message["content"]) for message in row.messages),
                response=row.response,
                mean=row.mean,
                disagreement=row.disagreement,
            )
            for row in rows
        ]

    def write(self, job: ShadowJob, scores: Sequence[ShadowScore]) -> None:
        rows = [
            {
                "job_id": job.job_id,
                "trace_id": scored.trace.trace_id,
                "cohort": scored.trace.cohort,
                "champion_version": job.champion,
                "champion_mean": scored.trace.mean,
                "candidate_mean": scored.mean,
                "champion_disagreement": scored.trace.disagreement,
                "candidate_disagreement": scored.disagreement,
            }
            for scored in scores
        ]
        with transaction(self._engine) as connection:
            connection.execute(upsert(schema.shadow_score).on_conflict_do_nothing(), rows)

    def scores(self, job_id: int) -> ShadowScores | None:
        """Return what champion and candidate gave the same traces; None where nothing was scored by both."""
        table = schema.shadow_score
        with transaction(self._engine) as connection:
            rows = connection.execute(select(table).where(table.c.job_id == job_id)).all()
            named = select(schema.job.c.candidate_version).where(schema.job.c.job_id == job_id)
            version = connection.execute(named).scalar_one_or_none()
        if not rows:
            return None
        return ShadowScores(
            job_id=job_id,
            version=version or "",
            champion=rows[0].champion_version,
            cohorts=tuple(row.cohort for row in rows),
            champion_means=tuple(row.champion_mean for row in rows),
            candidate_means=tuple(row.candidate_mean for row in rows),
            champion_disagreements=tuple(row.champion_disagreement for row in rows),
            candidate_disagreements=tuple(row.candidate_disagreement for row in rows),
        )
