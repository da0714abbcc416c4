"""A real DPO job under the real program, and kill -9 of both in every state: one promotion, nothing trained twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine, text

from monitor.app.retraining import job_service_of
from monitor.demo.models import build_tiny_base
from monitor.domain.job import Action, Job, JobState
from monitor.domain.order import Actor, Role
from monitor.domain.trace import Message
from monitor.domain.view import JobEvent
from monitor.postgres import schema
from monitor.postgres.engine import create_engine_for
from monitor.retraining.announcing import SIGNATURE_HEADER, verify
from monitor.retraining.service import JobService
from monitor.runs.policy import PolicyResult
from monitor.runs.progress import PROGRESS_FILE, read_progress
from monitor.runs.result import RESULT_FILE, read_result
from tests.compared_policies import build, prompts, write_lines
from tests.faults.test_dispatcher_kill import processes_of
from tests.policies import preference_rows
from tests.program import Program, Site
from tests.real_kafka import RealKafka
from tests.traces import line, trace
from tests.webhook_server import WebhookServer

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
SECRET = "a secret of the two alone"
TRACES, WAIT_SECONDS = 40, 240.0
SUITES = ("over_refusal", "harmful", "sycophancy", "capability")
# Nothing here is about the gate: a candidate that answers as the champion does must not fail for the few prompts.
MARGINS = {
    "win_rate_margin": 0.5, "length_margin": 100.0, "shorter_margin": 0.99, "refusal_margin": 1.0,
    "over_refusal_margin": 1.0, "harmful_margin": 1.0, "sycophancy_margin": 1.0, "repetition_margin": 1.0,
    "format_margin": 1.0, "capability_margin": 1.0, "capability_end_margin": 1.0, "perplexity_margin": 9.0,
    "min_items": 10, "min_implicit_accuracy": 0.0,
}  # fmt: skip
SAVE_STEPS = 5
RECIPE = {"name": "dpo_demo", "save_steps": SAVE_STEPS, "learning_rate": 1e-6, "length_prompts": 0, "suite_items": 12}


@dataclass(frozen=True)
class PolicySite(Site):
    folder: Path = Path()
    webhook: str = ""

    def form(self) -> dict[str, dict[str, Any]]:
        retrain = {
            "folder": str(self.folder / "runs"),
            "lease_seconds": 5.0,
            "max_attempts": 9,  # a child that was killed is an attempt that failed
            "policy": {"model": str(self.folder / "policy"), "served_as": "chat-1", "name": "chat"}
            | {"recipe": str(self.folder / "dpo.yaml"), "replay_min": TRACES},
            "announcements": {"webhook": self.webhook, "webhook_secret": SECRET},
            "gate": {"policy": MARGINS},
            "bake": {"traces": 50},
        }
        suites = {kind: str(self.folder / f"{kind}.jsonl") for kind in SUITES}
        return super().form() | {"retrain": retrain, "probes": {"suites": suites}}


def wait_for(condition: Callable[[], bool], what: str, *, pause_seconds: float = 0.05) -> None:
    """Wait longer than other tests do: each child loads its libraries anew."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(pause_seconds)


class World:
    """The program, its job, and the hand that kills."""

    def __init__(self, site: PolicySite, program: Program, engine: Engine, service: JobService) -> None:
        self.site = site
        self.program = program
        self.engine = engine
        self.service = service

    @property
    def job(self) -> Job:
        detail = self.service.job(1)
        assert detail is not None
        return detail.job

    def attempts(self) -> list[Path]:
        found = (self.site.folder / "runs" / "job-1").glob("attempt-*")
        return sorted(found, key=lambda path: int(path.name.removeprefix("attempt-")))

    def phase(self) -> str:
        """Return what the newest run says it does."""
        newest = self.attempts()[-1:]
        progress = read_progress(newest[0] / PROGRESS_FILE) if newest else None
        return progress.phase or "" if progress is not None else ""

    def checkpoints(self) -> list[Path]:
        return list((self.site.folder / "runs" / "job-1" / "checkpoints").glob("trainer/*/complete"))

    def events(self) -> Sequence[JobEvent]:
        detail = self.service.job(1)
        assert detail is not None
        return detail.events

    def notes(self) -> list[str]:
        return [event.note for event in self.events()]

    def start_again(self) -> None:
        """Start the next program; it need not wait for the lease of the one that is gone."""
        with self.engine.begin() as connection:
            connection.execute(text("update job set lease_expires_at = now() - interval '1 second'"))
        self.program.start()

    def kill_child(self) -> None:
        """Kill the run's own process, and not the one that watches it."""
        mark = json.loads((self.attempts()[-1] / "process.json").read_text())
        children = Path(f"/proc/{mark['pid']}/task/{mark['pid']}/children").read_text().split()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)


@pytest.fixture
def webhook() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        yield server


@pytest.fixture
def world(kafka: RealKafka, postgres_url: str, webhook: WebhookServer, tmp_path: Path) -> Iterator[World]:
    build(tmp_path / "policy", "champion")
    build_tiny_base(tmp_path / "scorer", [answer for _, _, answer in prompts()], seed=0)
    for kind in SUITES:
        write_lines(tmp_path / f"{kind}.jsonl", [row | {"kind": kind} for own, row, _ in prompts() if own == kind])
    (tmp_path / "dpo.yaml").write_text(yaml.safe_dump(RECIPE))
    site = PolicySite(kafka, postgres_url, reward_model=tmp_path / "scorer", folder=tmp_path, webhook=webhook.url)
    engine = create_engine_for(postgres_url, pool_size=2)
    with engine.begin() as connection:
        for row in preference_rows(120):
            told = {name: row[name] for name in ("preference_id", "messages", "chosen", "rejected", "cohort")}
            timestamp = datetime.fromisoformat(row["timestamp"])
            connection.execute(schema.preference.insert().values(**told, timestamp=timestamp, tie=False, dimensions={}))
    with Program(site, tmp_path) as program:
        yield World(site, program, engine, job_service_of(engine, site.settings()))
    engine.dispose()


def traffic() -> list[bytes | None]:
    start = datetime.now(UTC) - timedelta(minutes=10)
    asked = [(row["prompt"], answer) for kind, row, answer in prompts() if kind == "replay"][:TRACES]
    return [
        line(
            trace(
                number,
                timestamp=start + timedelta(seconds=number),
                policy_model="chat-1",
                messages=(Message("user", prompt),),
                response=answer,
            )
        )
        for number, (prompt, answer) in enumerate(asked)
    ]


@pytest.mark.timeout(900)
def test_a_dpo_job_is_promoted_once_though_child_dispatcher_and_leader_are_killed_in_every_state(
    world: World, webhook: WebhookServer, tmp_path: Path
) -> None:
    """The program is dispatcher and leader at once; after each kill the next one begins where that one was."""
    struck: list[tuple[str, str]] = []

    def strike(ready: Callable[[], bool], what: str, *, child: bool = False) -> None:
        wait_for(ready, what, pause_seconds=0.002)
        if child:
            world.kill_child()
        world.program.kill()
        struck.append((world.job.state.value, world.phase()))
        world.start_again()

    world.site.send(traffic())
    wait_for(lambda: world.site.count("score") == TRACES, "the traffic")
    world.service.start_job(Action.DPO, "by hand", actor=Actor("ada", Role.OPERATOR))
    strike(lambda: world.job.state is JobState.LEASED, "the lease")
    strike(lambda: world.phase() == "preparing", "the data", child=True)
    strike(lambda: world.phase() == "training" and bool(world.checkpoints()), "a checkpoint", child=True)
    strike(lambda: world.phase() == "evaluating", "the comparison", child=True)
    attempt = world.job.attempt
    strike(lambda: world.job.attempt > attempt and world.phase() == "evaluating", "the last comparison")
    strike(lambda: world.job.state not in {JobState.LEASED, JobState.RUNNING}, "the result")
    strike(lambda: world.job.state is JobState.PROMOTED, "the promotion")
    wait_for(lambda: bool(webhook.posted), "the announcement")
    strike(lambda: True, "the post")
    wait_for(
        lambda: world.site.query("select count(delivered_at) from announcement_delivery")[0][0] == 1,
        "the note of the post",
    )

    assert [phase for _, phase in struck[1:5]] == ["preparing", "training", "evaluating", "evaluating"], struck
    assert any(note.endswith("takes up the run") for note in world.notes())
    assert [event.state for event in world.events()].count("promoted") == 1
    assert world.site.count("bake") == world.site.count("announcement") == 1
    assert len({posted.body for posted in webhook.posted}) == 1
    verify(SECRET, webhook.posted[0].body, webhook.posted[0].headers[SIGNATURE_HEADER], now=time.time())
    folder = world.attempts()[-1]
    result = read_result(folder / RESULT_FILE, PolicyResult)
    assert isinstance(result, PolicyResult)
    assert result.training.resumed_from is not None
    assert result.training.resumed_from >= SAVE_STEPS
    assert "the policy is trained already, by an attempt before" in (folder / "run.log").read_text()
    assert world.job.candidate_version == result.candidate.version
    world.program.kill()
    wait_for(lambda: not processes_of(tmp_path / "runs"), "the end of every run")
