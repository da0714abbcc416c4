"""The program on real parts, and what each phase does with it: send traffic, wait, follow a job to its verdict."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitor.app.ports import ports_of
from monitor.app.wiring import Daemon
from monitor.demo.postgres import EmbeddedPostgres
from monitor.demo.serving import ServingPlatform
from monitor.domain.alarm import AlarmKind, AlarmState, StoredAlarm
from monitor.domain.job import Job, JobState
from monitor.domain.order import Actor, Role
from monitor.domain.release import Bake
from monitor.domain.trace import Message, Trace
from monitor.postgres.engine import create_engine_for
from monitor.postgres.migrate import upgrade
from monitor.web.app import Ports
from tests.benchmarks.loop.teach import Answered
from tests.program import Site
from tests.real_kafka import ROOT, Kafka, RealKafka, fetch_libraries
from tests.traces import line

SECRET = "of the benchmark alone"
YOU = Actor("you", Role.OPERATOR)
WAIT_SECONDS, JOB_SECONDS, TELL_SECONDS = 120.0, 1500.0, 15.0
ENDED = frozenset({JobState.PASSED, JobState.PROMOTED, JobState.FAILED_GATE, JobState.FAILED, JobState.CANCELLED})
STEP = timedelta(seconds=1)  # between two traces, in their own time
COHORTS = ("home", "shop", "travel")  # too small for the gate to judge one: it names them


class Missed(Exception):
    """Something that this benchmark is about did not happen; the message says what was seen instead."""


@dataclass(frozen=True)
class LoopSite(Site):
    """One database and its topics, with settings of the phase's own."""

    ensemble: Path = Path()
    retrain: Mapping[str, Any] = field(default_factory=dict)
    suites: Mapping[str, Path] = field(default_factory=dict)

    def form(self) -> dict[str, dict[str, Any]]:
        usual = super().form()
        rewards = {"backend": "huggingface", "models": [str(self.ensemble)], "device": "cpu", "max_tokens": 256}
        suites = {name: str(path) for name, path in self.suites.items()}
        return usual | {"rewards": rewards, "retrain": dict(self.retrain), "probes": {"suites": suites}}


class Stand:
    """A daemon in a thread of this process, beside the benchmark's own hands on its database and topics."""

    def __init__(self, site: LoopSite, say: Callable[[str], None], platform: ServingPlatform) -> None:
        self.site = site
        self.say = say
        self.platform = platform
        self.ports: Ports
        self._sent = 0
        self._start = datetime.now(UTC) - timedelta(hours=1)
        self._failures: list[BaseException] = []

    def run(self, parts: ExitStack) -> None:
        """Start the daemon; it ends with *parts*."""
        settings = self.site.settings()
        engine = create_engine_for(self.site.postgres_url)
        parts.callback(engine.dispose)
        self.ports = ports_of(engine, settings)
        daemon, stop = Daemon(settings), threading.Event()

        def body() -> None:
            try:
                daemon.run(stop)
            except BaseException as failure:  # noqa: BLE001 - raised again by whoever waits
                self._failures.append(failure)

        thread = threading.Thread(target=body, name="daemon", daemon=True)
        thread.start()
        parts.callback(thread.join, WAIT_SECONDS)
        parts.callback(stop.set)
        self.until(lambda: daemon.health.ready()[0], "the daemon to be ready")

    def send(
        self, policy_model: str, answered: Sequence[Answered], references: Sequence[Answered] | None = None
    ) -> list[str]:
        """Send traffic of *policy_model* and wait until it is stored and folded; return the traces' ids."""
        beside: Sequence[Answered | None] = references if references is not None else [None] * len(answered)
        records, ids = [], []
        for item, reference in zip(answered, beside, strict=True):
            trace = Trace(
                trace_id=f"{policy_model}-{self._sent}",
                timestamp=self._start + self._sent * STEP,
                policy_model=policy_model,
                response=item.text,
                messages=(Message("user", item.asked),),
                cohort={"dataset": COHORTS[self._sent % len(COHORTS)]},
                finish_reason="length" if item.cut else "stop",
                input_tokens=len(item.asked.split()),
                output_tokens=item.tokens,
            )
            more = {} if reference is None else {"reference_response": reference.text}
            records.append(line(trace, **more))
            ids.append(trace.trace_id)
            self._sent += 1
        self.site.send(records)
        stored = self._sent
        self.until(
            lambda: (
                (seen := self.ports.overview.overview()).traces >= stored
                and (not seen.fold_lag_traces or self.ports.baselines.baseline() is None)
            ),
            "the traffic to be stored and folded",
        )
        return ids

    def prefer(self, pairs: Sequence[tuple[str, str, str]]) -> None:
        """Send verdicts on pairs as events: what was asked, the answer that was chosen, and the other one."""
        begun = self._start - timedelta(days=20)
        events = [
            {
                "preference_id": f"p-{number}",
                "timestamp": (begun + number * STEP).isoformat(),
                "messages": [{"role": "user", "content": asked}],
                "chosen": chosen,
                "rejected": rejected,
                "annotator_id": "ada",
                "cohort": {"dataset": COHORTS[number % len(COHORTS)]},
            }
            for number, (asked, chosen, rejected) in enumerate(pairs)
        ]
        self.site.send([json.dumps(event).encode() for event in events], topic=self.site.preferences)
        self.until(lambda: self.site.count("preference") == len(events), "the verdicts on pairs")

    def label(self, verdicts: Mapping[str, float]) -> None:
        """Send labels: how each trace's answer did against its reference response."""
        said = [
            {
                "label_id": f"l-{trace_id}",
                "timestamp": datetime.now(UTC).isoformat(),
                "trace_id": trace_id,
                "kind": "preference",
                "value": value,
                "annotator_id": "ada",
            }
            for trace_id, value in verdicts.items()
        ]
        self.site.send([json.dumps(label).encode() for label in said], topic=self.site.labels)
        self.until(lambda: self.site.count("label") >= len(said), "the labels")

    def drifts(self, policy_model: str) -> list[StoredAlarm]:
        """Return the open alarms of drift on what *policy_model* answers, the oldest first."""
        found = self.ports.alarms.alarms(state=AlarmState.OPEN, limit=100)
        own = [
            one for one in found if one.alarm.kind is AlarmKind.DRIFT and one.alarm.stream.policy_model == policy_model
        ]
        return sorted(own, key=lambda one: one.alarm.place)

    def follow(self, job_id: int) -> Job:
        """Wait for the end of a job, and tell what it does meanwhile."""
        told, said, deadline = "", 0.0, time.monotonic() + JOB_SECONDS
        while time.monotonic() < deadline:
            self.check()
            detail = self.ports.jobs.job(job_id)
            assert detail is not None
            job = detail.job
            automatic = self.site.retrain.get("promotion", "automatic") == "automatic"
            if job.state in ENDED and not (job.state is JobState.PASSED and automatic):
                return job
            news = job.progress or job.state.value
            if news != told and time.monotonic() - said >= TELL_SECONDS:
                self.say(f"job {job_id}: {news}")
                told, said = news, time.monotonic()
            time.sleep(0.5)
        raise Missed(f"job {job_id} did not end within {JOB_SECONDS:.0f} s: {told}")

    def bake_of(self, job_id: int) -> Bake:
        found = self.ports.releases.bake(job_id)
        if found is None:
            raise Missed(f"job {job_id} has no bake window")
        return found

    def baked(self, job_id: int, traces: int) -> Bake:
        """Wait until the bake has seen *traces*, or ended before."""
        self.until(
            lambda: (bake := self.bake_of(job_id)).traces_seen >= traces or not bake.state.is_open,
            f"{traces} baked traces",
        )
        return self.bake_of(job_id)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise Missed(f"waited {WAIT_SECONDS:.0f} s for {what}")
            time.sleep(0.2)

    def check(self) -> None:
        if self._failures:
            raise self._failures[0]


class Servers:
    """One PostgreSQL and one Kafka for all phases; each phase has a database and topics of its own."""

    def __init__(self, folder: Path, parts: ExitStack) -> None:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.postgres = parts.enter_context(EmbeddedPostgres(folder / "postgres"))
        (folder / "kafka").mkdir()
        kafka = RealKafka(folder / "kafka", fetch_libraries())
        kafka.start()
        parts.callback(kafka.stop)
        self.kafka: Kafka = kafka

    @contextmanager
    def stand(
        self,
        name: str,
        *,
        ensemble: Path,
        retrain: Mapping[str, Any],
        suites: Mapping[str, Path],
        baseline: int,
        say: Callable[[str], None],
    ) -> Iterator[Stand]:
        """Run a daemon on an empty database until `with` ends; *retrain* may leave out who is told."""
        import psycopg

        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
        url = self.postgres.database_url(name)
        upgrade(url)
        with ExitStack() as parts:
            platform = parts.enter_context(ServingPlatform(SECRET))
            told = {"announcements": {"webhook": platform.url, "webhook_secret": SECRET}}
            site = LoopSite(
                self.kafka,
                url,
                baseline_traces=baseline,
                ensemble=ensemble,
                retrain=dict(retrain) | told,
                suites=suites,
            )
            stand = Stand(site, say, platform)
            stand.run(parts)
            yield stand
