"""The parts that answer an alarm, on a real PostgreSQL, with real processes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, select, text, update

from monitor.domain.baseline import BaselineExtension
from monitor.domain.job import Action, Job, Launch
from monitor.domain.order import Actor, Role
from monitor.postgres import schema
from monitor.postgres.baselines import PostgresBaselineTraces
from monitor.postgres.preferences import PostgresPreferences
from monitor.postgres.refusal_rows import PostgresRefusalRows
from monitor.postgres.registry import RewardRegistry
from monitor.postgres.work import PostgresTransactions
from monitor.retraining.dispatcher import Dispatcher, Step
from monitor.retraining.housekeeping import AttemptFolders
from monitor.retraining.launcher import Launcher
from monitor.retraining.launchers.local_process import LocalProcessLauncher
from monitor.retraining.lease import LeasedJobs
from monitor.retraining.records import Author
from monitor.retraining.release import Releases
from monitor.retraining.run_folder import RunFolders
from monitor.retraining.service import JobService
from monitor.runs.artifact import Artifact, artifact_sha256
from monitor.runs.result import RunResult
from monitor.settings.retrain import RetrainSettings

OPERATOR = Actor("ada", Role.OPERATOR)
LAUNCH = Launch(Action.REWARD_REFRESH, alarm_id=None, needs_approval=False)
PROGRAM = Path(__file__).with_name("training_program.py")
TOLD = {"timestamp": datetime(2026, 11, 1, tzinfo=UTC), "cohort": "a", "dimensions": {}, "tie": False}


class Baselines:
    """Stands in for drift's plan of a promotion: there is no baseline, or a refusal, or whatever comes in between."""

    def __init__(self) -> None:
        self.planned: list[str] = []
        self.refusal: Exception | None = None
        self.between: Callable[[], None] = lambda: None  # called after the plan, before the promotion
        self.extension: BaselineExtension | None = None

    def plan(self, result: RunResult) -> BaselineExtension | None:
        self.planned.append(result.candidate.version)
        if self.refusal is not None:
            raise self.refusal
        extension = self.extension
        self.between()
        return extension


class Parts:
    """The parts that answer an alarm, on one database and one folder."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.begin = PostgresTransactions(engine)
        self.baselines = Baselines()
        self.releases = Releases(self.begin, self.baselines)
        self.service = JobService(self.begin, self.releases)
        self.registry = RewardRegistry(engine)
        self.folder = folder
        self.dispatchers: list[Dispatcher] = []

    def dispatcher(
        self,
        outcome: str = "good",
        *,
        owner: str = "one",
        host: str = "here",
        launcher: Launcher | None = None,
        refusals: PostgresRefusalRows | None = None,
        **changes: Any,
    ) -> Dispatcher:
        values = {"folder": self.folder / "runs", "base_model": self.folder / "base", "max_attempts": 2}
        settings = RetrainSettings(**(values | changes))
        folders = RunFolders(
            settings,
            preferences=PostgresPreferences(self.engine),
            baseline=PostgresBaselineTraces(self.engine),
            registry=self.registry,
            refusals=refusals,
        )
        launcher = launcher or LocalProcessLauncher(
            command=(sys.executable, str(PROGRAM), outcome), grace_seconds=5, silence_seconds=0.5, host=lambda: host
        )
        dispatcher = Dispatcher(
            settings,
            owner=owner,
            jobs=LeasedJobs(self.begin),
            promotions=self.releases,
            folders=folders,
            launcher=launcher,
            housekeeping=AttemptFolders(settings, self.begin),
        )
        self.dispatchers.append(dispatcher)
        return dispatcher

    def end_runs(self) -> None:
        """Leave no process behind, whatever a test did."""
        for run in LocalProcessLauncher(host=lambda: "here").found(self.folder / "runs"):
            run.cancel()

    def run_out(self) -> None:
        """Let every lease have run out."""
        with self.engine.begin() as connection:
            connection.execute(update(schema.job).values(lease_expires_at=text("now() - interval '1 second'")))

    def pids(self) -> list[int]:
        files = (self.folder / "runs").glob("job-*/attempt-*/process.json")
        return [json.loads(file.read_text())["pid"] for file in files]

    def ruled_by(self, **settings: Any) -> JobService:
        """Return what rules and the calendar of *settings*, `retrain.*`, start."""
        return JobService(self.begin, self.releases, RetrainSettings(**settings))

    def start(self) -> Job:
        return self.service.start_job(Action.REWARD_REFRESH, "by hand", actor=OPERATOR)

    def job(self, job_id: int = 1) -> Job:
        detail = self.service.job(job_id)
        assert detail is not None
        return detail.job

    def events(self, job_id: int = 1) -> list[str]:
        detail = self.service.job(job_id)
        assert detail is not None
        return [event.state for event in detail.events]

    def notes(self, job_id: int = 1) -> list[str]:
        detail = self.service.job(job_id)
        assert detail is not None
        return [event.note for event in detail.events]

    def audit(self) -> list[tuple[str, str, str]]:
        table = schema.audit.c
        with self.engine.connect() as connection:
            rows = connection.execute(select(table.actor, table.role, table.action).order_by(table.audit_id))
            return [(row.actor, row.role, row.action) for row in rows]

    def adopt_champion(self) -> Artifact:
        folder = self.folder / "champion"
        (folder / "member-0").mkdir(parents=True)
        (folder / "member-0" / "weights").write_text("first")
        artifact = Artifact("first", str(folder), artifact_sha256(folder))
        assert self.releases.adopt(artifact, by=Author("ada", "operator"))
        return artifact


def drive(dispatcher: Dispatcher, *until: Step) -> Step:
    """Tick as the daemon does until one of *until*."""
    deadline = time.monotonic() + 60
    while (step := dispatcher.tick()) not in until:
        assert time.monotonic() < deadline, f"still {step}"
        time.sleep(0.02)
    return step


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def prefer(engine: Engine, preference_id: str, **changes: Any) -> None:
    messages = [{"role": "user", "content": f"question {preference_id}"}]
    row = {"preference_id": preference_id, "messages": messages, "chosen": "yes", "rejected": "no"}
    with engine.begin() as connection:
        connection.execute(insert(schema.preference).values(TOLD | row | changes))
