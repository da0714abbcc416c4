"""A real training run under the real program: the program goes, the training goes on, the next program takes it up."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from monitor.app.retraining import job_service_of
from monitor.demo.models import build_tiny_base
from monitor.demo.training import demo_recipe
from monitor.domain.job import Action, JobState
from monitor.domain.order import Actor, Role
from monitor.postgres import schema
from monitor.postgres.engine import create_engine_for
from monitor.retraining.service import JobService
from tests.integration.test_retrain import preference_rows
from tests.program import Program, Site, wait_for
from tests.real_kafka import RealKafka

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


@dataclass(frozen=True)
class TrainingSite(Site):
    folder: Path = Path()

    def form(self) -> dict[str, dict[str, Any]]:
        retrain = {
            "folder": str(self.folder / "runs"),
            "base_model": str(self.folder / "base"),
            "recipe": str(demo_recipe()),
            "lease_seconds": 5.0,
            "max_attempts": 1,
        }
        return super().form() | {"retrain": retrain}


@contextmanager
def service_of(site: Site) -> Iterator[JobService]:
    engine = create_engine_for(site.postgres_url, pool_size=2)
    rows = [row for row in preference_rows() if row["chosen"] != row["rejected"]]
    with engine.begin() as connection:
        for row in rows:
            told = {name: row[name] for name in ("preference_id", "messages", "chosen", "rejected", "cohort")}
            timestamp = datetime.fromisoformat(row["timestamp"])
            connection.execute(schema.preference.insert().values(**told, timestamp=timestamp, tie=False, dimensions={}))
    try:
        yield job_service_of(engine, site.settings())
    finally:
        engine.dispose()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to leave"])
def test_a_training_run_goes_on_without_its_daemon_and_is_promoted_by_the_next(
    kafka: RealKafka, postgres_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    def state() -> JobState:
        detail = service.job(1)
        assert detail is not None
        return detail.job.state

    rows = list(preference_rows())
    build_tiny_base(tmp_path / "base", [row[side] for row in rows for side in ("chosen", "rejected")], seed=0)
    site = TrainingSite(kafka, postgres_url, folder=tmp_path)
    attempt = tmp_path / "runs" / "job-1" / "attempt-1"
    with service_of(site) as service, Program(site, tmp_path) as program:
        service.start_job(Action.REWARD_REFRESH, "by hand", actor=Actor("ada", Role.OPERATOR))
        wait_for((attempt / "progress.json").exists, "the training")
        mark = json.loads((attempt / "process.json").read_text())
        if number is signal.SIGTERM:
            assert program.terminate(seconds=30.0) == 0
        else:
            program.kill()
        assert (attempt / "exit_code").read_text().strip() == "", "it ended too soon for this test"
        time.sleep(1.0)
        assert Path(f"/proc/{mark['pid']}").exists()
        program.start()
        wait_for(lambda: state() in {JobState.PROMOTED, JobState.FAILED, JobState.FAILED_GATE}, "the promotion")
        assert state() is JobState.PROMOTED, program.log()
        detail = service.job(1)
        assert detail is not None
        assert detail.job.attempt == 1
        assert any("takes up the run" in event.note for event in detail.events)
        assert [event.state for event in detail.events].count("leased") == 1
        assert json.loads((attempt / "process.json").read_text()) == mark
