"""Runs of probes in PostgreSQL: what was asked, what was answered, and what the log was told of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, func, insert, select, text, update

from monitor.domain.trace import Message
from monitor.postgres import schema
from monitor.postgres.document import clean, storable_text
from monitor.postgres.engine import transaction
from monitor.postgres.log import append_entry
from monitor.probes.again import KeptAnswer, KeptRun
from monitor.probes.report import PastRun
from monitor.probes.run import Finished, LivePrompt, NewRun, OpenRun, RunState
from monitor.probes.suite import Item

# The draw is the same whenever it is made, and it hangs on nothing that an answer says.
_PROMPTS = text(
    "select trace_id, cohort, messages, response from baseline_trace join baseline using (baseline_id)"
    " where active and jsonb_array_length(messages) > 0"
    " order by md5('probe/' || :run_id || '/' || trace_id), trace_id limit :size"
)
_PAST = text(
    "select run_id, suite, suite_sha256, signal, scorer_version, policy_model, state, started_at, ended_at, asked,"
    " judged, outcomes, rate, detail from probe_run where suite = any(:suites) and (started_at >= :since or run_id in ("
    "   select max(run_id) from probe_run where suite = any(:suites) and state <> 'rejudged' group by suite))"
    " order by started_at, run_id"
)
_OTHERWISE = text(
    "select r.run_id from probe_run r join log_entry e using (entry_id) join baseline b on b.active"
    " where r.suite = :suite and r.suite_sha256 = :sha256 and r.state <> 'rejudged'"
    " and (e.first_place is null or e.first_place >= b.first_place) order by r.run_id"
)
_AGAIN = text(
    "insert into probe_run (suite, suite_sha256, signal, scorer_version, policy_model, state, started_at, ended_at,"
    "   asked, judged, outcomes, rate, detail, entry_id)"
    " select suite, suite_sha256, signal, :version, policy_model, 'rejudged', started_at, ended_at, asked, :judged,"
    "   :outcomes, :rate, 'run ' || run_id || ' by another judge', :entry_id from probe_run where run_id = :run_id"
)


class PostgresProbes:
    """`probes.prober.ProbeStore`, and what is told of past runs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def last_started(self) -> datetime | None:
        table = schema.probe_run.c
        asked = table.state != RunState.REJUDGED
        query = select(table.started_at).where(asked).order_by(table.run_id.desc()).limit(1)
        with transaction(self._engine) as connection:
            last: datetime | None = connection.execute(query).scalar_one_or_none()
        return None if last is None else last.astimezone(UTC)

    def begin(self, runs: Sequence[NewRun]) -> None:
        rows = [
            {"suite": run.suite, "suite_sha256": run.sha256, "signal": run.signal, "state": RunState.RUNNING}
            for run in runs
        ]
        with transaction(self._engine) as connection:
            if rows:
                connection.execute(insert(schema.probe_run), rows)

    def running(self) -> list[OpenRun]:
        table = schema.probe_run.c
        query = select(table.run_id, table.suite, table.suite_sha256).where(table.state == RunState.RUNNING)
        with transaction(self._engine) as connection:
            rows = connection.execute(query.order_by(table.run_id)).all()
        return [OpenRun(row.run_id, row.suite, row.suite_sha256) for row in rows]

    def prompts(self, run_id: int, count: int) -> list[LivePrompt]:
        with transaction(self._engine) as connection:
            rows = connection.execute(_PROMPTS, {"run_id": str(run_id), "size": count}).all()
        return [
            LivePrompt(
                Item(
                    row.trace_id,
                    tuple(Message(message["role"], message["content"]) for message in row.messages),
                    row.cohort,
                ),
                row.response,
            )
            for row in rows
        ]

    def finish(self, run_id: int, finished: Finished) -> bool:
        table = schema.probe_run
        over = update(table).where(table.c.run_id == run_id, table.c.state == RunState.RUNNING)
        values = {
            "state": finished.state,
            "scorer_version": finished.scorer_version,
            "policy_model": clean(finished.policy_model),
            "ended_at": func.now(),
            "asked": len(finished.answered),
            "judged": sum(one.outcome is not None for one in finished.answered),
            "outcomes": len(finished.outcomes),
            "rate": finished.rate,
            "detail": clean(finished.detail),
        }
        answers = [
            {
                "run_id": run_id,
                "item_id": one.item.item_id,
                "outcome": one.outcome,
                "answer": None if one.answer is None else storable_text(one.answer),
                "answered_at": one.at,
            }
            for one in finished.answered
        ]
        with transaction(self._engine) as connection:
            if connection.execute(over.values(values)).rowcount != 1:
                return False
            if answers:
                connection.execute(insert(schema.probe_answer), answers)
            if finished.entry is not None:
                entry_id = append_entry(connection, finished.entry).entry_id
                connection.execute(update(table).where(table.c.run_id == run_id).values(entry_id=entry_id))
        return True

    def judged_by(self, suite: str, version: str) -> bool:
        runs = schema.probe_run.c
        known = select(runs.run_id).where(runs.suite == suite, runs.scorer_version == version, runs.outcomes > 0)
        with transaction(self._engine) as connection:
            return connection.execute(known.limit(1)).first() is not None

    def judged_otherwise(self, suite: str, sha256: str) -> list[int]:
        with transaction(self._engine) as connection:
            return list(connection.execute(_OTHERWISE, {"suite": suite, "sha256": sha256}).scalars())

    def kept_run(self, run_id: int) -> KeptRun:
        runs, answers = schema.probe_run.c, schema.probe_answer.c
        with transaction(self._engine) as connection:
            model = connection.execute(select(runs.policy_model).where(runs.run_id == run_id)).scalar_one()
            columns = select(answers.item_id, answers.answer, answers.answered_at).where(answers.run_id == run_id)
            rows = connection.execute(columns.order_by(answers.item_id)).all()
        kept = [KeptAnswer(row.item_id, row.answer, row.answered_at.astimezone(UTC)) for row in rows]
        return KeptRun(run_id, model, kept)

    def judge_again(self, version: str, runs: Sequence[tuple[int, Finished]]) -> None:
        with transaction(self._engine) as connection:
            for run_id, finished in runs:
                assert finished.entry is not None
                values = {
                    "run_id": run_id,
                    "version": version,
                    "judged": sum(one.outcome is not None for one in finished.answered),
                    "outcomes": len(finished.outcomes),
                    "rate": finished.rate,
                    "entry_id": append_entry(connection, finished.entry).entry_id,
                }
                connection.execute(_AGAIN, values)

    def past_runs(self, suites: Sequence[str], *, last: timedelta) -> list[PastRun]:
        """Return the runs of *suites* that began within *last*, and the latest of each, in the order they began."""
        since = datetime.now(UTC) - last
        with transaction(self._engine) as connection:
            rows = connection.execute(_PAST, {"suites": list(suites), "since": since}).all()
        return [
            PastRun(
                **row._asdict()
                | {
                    "state": RunState(row.state),
                    "started_at": row.started_at.astimezone(UTC),
                    "ended_at": None if row.ended_at is None else row.ended_at.astimezone(UTC),
                }
            )
            for row in rows
        ]
