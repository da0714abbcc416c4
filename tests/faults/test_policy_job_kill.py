"""A real DPO job under the real program, and kill -9 in every state: the same end, one start an attempt, one promotion.

The database holds the program at a step of the job, in the middle of its transaction, until it has been killed there.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
import yaml
from sqlalchemy import Engine, text

from monitor.app.retraining import job_service_of, releases_of
from monitor.domain.job import Action, Job, JobState, Launch
from monitor.domain.order import Actor, JobOrder, Role
from monitor.domain.telling import SIGNATURE_HEADER, verify
from monitor.domain.trace import Message
from monitor.domain.view import JobDetail
from monitor.postgres import schema
from monitor.postgres.engine import create_engine_for
from monitor.retraining.records import Author
from monitor.retraining.service import JobService
from monitor.runs.policy import PolicyResult
from monitor.runs.progress import PROGRESS_FILE, read_progress
from monitor.runs.result import RESULT_FILE, read_result
from tests.compared_policies import build, build_scorer, prompts, write_lines
from tests.faults.test_dispatcher_kill import processes_of
from tests.notified import ReceiverServer, Reply
from tests.policies import preference_rows
from tests.program import Program, Site
from tests.real_kafka import RealKafka
from tests.traces import line, trace

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
ADA = Actor("ada", Role.OPERATOR)
SECRET = "a secret of the two alone"
TRACES, PAIRS, WAIT_SECONDS = 24, 120, 120.0
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
HOLD_STEPS = """
create function hold_step() returns trigger language plpgsql as $$ begin
  if new.state <> old.state then perform pg_advisory_xact_lock_shared(hashtext(new.state)); end if;
  return new;
end $$;
create trigger hold_step before update on job for each row execute function hold_step();
"""
HELD = "select count(*) from pg_locks where locktype = 'advisory' and not granted"


@dataclass(frozen=True)
class PolicySite(Site):
    folder: Path = Path()
    webhook: str = ""

    def form(self) -> dict[str, dict[str, Any]]:
        retrain = {
            "folder": str(self.folder / "runs"),
            "lease_seconds": 5.0,
            "max_attempts": 9,  # a run that was killed is an attempt that failed
            "policy": {"model": str(self.folder / "policy"), "served_as": "chat-1", "name": "chat"}
            | {"recipe": str(self.folder / "dpo.yaml"), "replay_min": TRACES},
            "announcements": {"webhook": self.webhook, "webhook_secret": SECRET},
            "gate": {"policy": MARGINS},
            "bake": {"traces": 50},
        }
        suites = {kind: str(self.folder / f"{kind}.jsonl") for kind in SUITES}
        return super().form() | {"retrain": retrain, "probes": {"suites": suites}}


def wait_for(condition: Callable[[], bool], what: str, *, pause_seconds: float = 0.05) -> None:
    """Wait longer than other tests do: each run loads its libraries anew."""
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
    def detail(self) -> JobDetail:
        found = self.service.job(1)
        assert found is not None
        return found

    @property
    def job(self) -> Job:
        return self.detail.job

    def attempt(self) -> Path:
        return self.site.folder / "runs" / "job-1" / f"attempt-{self.attempts()}"

    def attempts(self) -> int:
        ((attempts,),) = self.site.query("select attempt from job")
        return int(attempts)

    def phase(self) -> str:
        """Return what the newest run says it does."""
        progress = read_progress(self.attempt() / PROGRESS_FILE)
        return progress.phase or "" if progress is not None else ""

    def checkpoints(self) -> list[Path]:
        return list((self.site.folder / "runs" / "job-1" / "checkpoints").glob("trainer/*/complete"))

    def taken_up(self) -> int:
        return sum(event.note.endswith("takes up the run") for event in self.detail.events)

    def watcher(self) -> int:
        """Return the process that watches the run."""
        return int(json.loads((self.attempt() / "process.json").read_text())["pid"])

    def tell_run(self, number: signal.Signals) -> None:
        """Send a signal to the run's own process, and not to the one that watches it."""
        pid = self.watcher()
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), number)

    def kill(self) -> None:
        """Kill the program, and start the next."""
        self.program.kill()
        self.start_again()

    def start_again(self) -> None:
        """Start the next program; it need not wait for the lease of the one that is gone."""
        with self.engine.begin() as connection:
            connection.execute(text("update job set lease_expires_at = now() - interval '1 second'"))
        self.program.start()

    def kill_within_step_to(self, target: JobState) -> JobState:
        """Kill the program while it takes the job's step to *target*; return the state that it was killed in."""
        with self.held(target):
            wait_for(lambda: self.site.query(HELD) == [(1,)], f"the step to {target}")
            found = self.job.state
            self.program.kill()
        self.start_again()
        return found

    @contextmanager
    def held(self, target: JobState) -> Iterator[None]:
        """Keep the program from taking the job's step to *target*."""
        with psycopg.connect(self.site.postgres_url, autocommit=True) as connection:
            connection.execute("select pg_advisory_lock(hashtext(%s))", [target.value])
            yield

    def kill_beside(self, phase: str) -> None:
        """Kill the program while its run is in *phase*; the run is stopped meanwhile, and taken up by the next."""
        wait_for(lambda: self.phase() == phase, f"the phase {phase}", pause_seconds=0.002)  # a short one
        self.tell_run(signal.SIGSTOP)
        assert self.phase() == phase
        before, pid = self.taken_up(), self.watcher()
        self.kill()
        wait_for(lambda: self.taken_up() > before, "the next program's hand on the run")
        assert self.watcher() == pid


@pytest.fixture
def answered() -> Event:
    """Set it to let the webhook answer."""
    return Event()


@pytest.fixture
def webhook(answered: Event) -> Iterator[ReceiverServer]:
    with ReceiverServer(lambda _: Reply(200 if answered.wait(WAIT_SECONDS) else 503)) as server:
        yield server


@pytest.fixture
def world(kafka: RealKafka, postgres_url: str, webhook: ReceiverServer, tmp_path: Path) -> Iterator[World]:
    build(tmp_path / "policy", "champion")
    for kind in SUITES:
        write_lines(tmp_path / f"{kind}.jsonl", [row | {"kind": kind} for own, row, _ in prompts() if own == kind])
    (tmp_path / "dpo.yaml").write_text(yaml.safe_dump(RECIPE))
    site = PolicySite(kafka, postgres_url, folder=tmp_path, webhook=webhook.url)
    engine = create_engine_for(postgres_url, pool_size=4)
    with engine.begin() as connection:
        connection.execute(text(HOLD_STEPS))
        for row in preference_rows(PAIRS):
            told = {name: row[name] for name in ("preference_id", "messages", "chosen", "rejected", "cohort")}
            timestamp = datetime.fromisoformat(row["timestamp"])
            connection.execute(schema.preference.insert().values(**told, timestamp=timestamp, tie=False, dimensions={}))
    assert releases_of(engine, site.settings()).adopt(build_scorer(tmp_path / "scorer"), by=Author("ada", "operator"))
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


@pytest.mark.timeout(900)  # of its many waits each may take two minutes
def test_a_dpo_job_is_promoted_once_though_program_and_run_are_killed_in_every_state(
    world: World, webhook: ReceiverServer, answered: Event, tmp_path: Path
) -> None:
    """The program is dispatcher and leader at once; after each kill the next one begins where that one was."""
    world.site.send(traffic())
    wait_for(lambda: world.site.count("trace") == TRACES, "the traffic")
    world.service.launch(Launch(Action.DPO, alarm_id=None, needs_approval=True), reason="by a rule", actor="a rule")
    assert world.job.state is JobState.AWAITING_APPROVAL
    world.kill()
    world.service.move_job(1, JobOrder.APPROVE, actor=ADA)
    assert world.kill_within_step_to(JobState.LEASED) is JobState.QUEUED
    assert world.kill_within_step_to(JobState.RUNNING) is JobState.LEASED

    world.kill_beside("preparing")
    world.tell_run(signal.SIGCONT)
    wait_for(lambda: world.phase() == "training" and bool(world.checkpoints()), "a checkpoint", pause_seconds=0.002)
    world.tell_run(signal.SIGKILL)
    world.kill()
    wait_for(lambda: world.attempts() == 2, "the next attempt")
    world.kill_beside("evaluating")
    world.tell_run(signal.SIGKILL)
    wait_for(lambda: world.attempts() == 3, "the next attempt")

    assert world.kill_within_step_to(JobState.EVALUATING) is JobState.RUNNING
    assert world.kill_within_step_to(JobState.PASSED) is JobState.EVALUATING
    assert world.kill_within_step_to(JobState.PROMOTED) is JobState.PASSED
    wait_for(lambda: bool(webhook.posted), "the announcement")
    world.kill()
    answered.set()
    wait_for(lambda: world.site.query("select count(delivered_at) from announcement_delivery") == [(1,)], "the note")
    world.program.kill()
    wait_for(lambda: not processes_of(tmp_path / "runs"), "the end of every run")

    states, notes = ([getattr(event, name) for event in world.detail.events] for name in ("state", "note"))
    assert (notes.count("the run starts"), states.count("promoted"), world.job.attempt) == (3, 1, 3)
    assert world.site.count("bake") == world.site.count("announcement") == 1
    assert len(webhook.posted) == 2
    assert len({posted.body for posted in webhook.posted}) == 1
    verify(SECRET, webhook.posted[1].body, webhook.posted[1].headers[SIGNATURE_HEADER], now=time.time())
    result = read_result(world.attempt() / RESULT_FILE, PolicyResult)
    assert isinstance(result, PolicyResult)
    assert result.training.resumed_from is not None
    assert result.training.resumed_from >= SAVE_STEPS
    assert (world.attempt() / "run.log").read_text().count("the policy is trained already") == 1
    assert world.job.candidate_version == result.candidate.version
