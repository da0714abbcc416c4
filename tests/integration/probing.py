"""A live model behind a real server, and the duties that probe it over a real database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text

from monitor.app.probes import live_model_of, rules_of, suites_of
from monitor.domain.alarm import Alarm
from monitor.domain.score import Reward, plain_temperature
from monitor.domain.trace import Message, Trace
from monitor.drift.controller import LATE_SECONDS, Controller
from monitor.ingest.offset import StoredOffset
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.probes import PostgresProbes
from monitor.postgres.streams import PostgresFoldStore
from monitor.probes.asking import Pauses
from monitor.probes.prober import Prober, Wins
from monitor.probes.run import now
from monitor.probes.suite import Suite
from monitor.settings.probes import ProbeSettings
from monitor.signals.refusal import PatternRefusal, RefusalModel
from monitor.telemetry.probes import ProbeMetrics
from tests import watched
from tests.reference_server import Reply, TroubledServer
from tests.traces import checkpoint, drifting, scored

Says = Callable[[str], str]
Score = Callable[[Sequence[tuple[Sequence[Message], str]]], Sequence[Reward | None]]
BASELINE = 300
PATTERNS = PatternRefusal()
SURELY_SECONDS = 60.0
ENDED = "ended_at is not null and state <> 'rejudged'"  # runs that asked


def reply(answer: str) -> Reply:
    """Return a chat completion that says *answer*."""
    message = {"role": "assistant", "content": answer}
    body = {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return Reply(200, json.dumps(body).encode())


def speaking(says: Says) -> TroubledServer:
    """Return a server whose model answers each prompt as *says* has it."""
    return TroubledServer(trouble=lambda _number, prompt: reply(says(prompt)))


class Site:
    """Traces with a frozen baseline, the controller that folds, and the leader's duty of probing."""

    def __init__(self, engine: Engine, *, traces: Sequence[Trace] = ()) -> None:
        self.engine = engine
        self.store = PostgresProbes(engine)
        self.registry = CollectorRegistry()
        self.metrics = ProbeMetrics(self.registry)
        self.seconds = 0.0
        self.due = True
        self.open = ExitStack()
        rules = watched.rules_of(BASELINE)
        self.controller = Controller(PostgresFoldStore(engine), rules, clock=lambda: self.seconds)
        store = PostgresCheckpoints(engine, group_id="g", max_cohorts=50)
        store.begin({("traces", 0): StoredOffset(0)})
        store.write(checkpoint(scored(traces or drifting(BASELINE, change=BASELINE))))
        self.fold()

    def prober(
        self,
        url: str,
        *,
        suites: Mapping[str, Suite] | None = None,
        score: Score | None = None,
        refusals: RefusalModel = PATTERNS,
        **settings: object,
    ) -> Prober:
        """Return the duty as a leader has it; a round of runs is due while `due` says so."""
        probes = ProbeSettings.model_validate({"endpoint": url, "timeout_seconds": 5.0} | settings)
        return Prober(
            self.store,
            self.open.enter_context(closing(live_model_of(probes))),
            suites_of(probes) if suites is None else suites,
            rules=rules_of(probes, Pauses(0.01, 0.01)),
            wins=Wins(score or (lambda rows: [None] * len(rows)), lambda: score is not None, plain_temperature),
            refusals=refusals,
            metrics=self.metrics,
            clock=lambda: now() + timedelta(hours=2 if self.due else -2),
        )

    def probe(self, prober: Prober, *, suites: int = 1) -> None:
        """Begin a round of runs, or take up the one that was begun, and see *suites* of them to their end."""
        ended = self.count(ENDED) + suites
        self.due = not self.count("ended_at is null")
        prober()
        self.due = False
        until = time.monotonic() + SURELY_SECONDS
        while self.count(ENDED) < ended:
            assert time.monotonic() < until
            prober()
            time.sleep(0.002)

    def fold(self) -> None:
        self.seconds += LATE_SECONDS
        tick = self.controller.tick()
        while tick.folded < tick.places:
            tick = self.controller.tick()

    def count(self, which: str, *, table: str = "probe_run") -> int:
        with self.engine.begin() as connection:
            return int(connection.execute(text(f"select count(*) from {table} where {which}")).scalar_one())  # noqa: S608

    def alarms(self) -> list[Alarm]:
        """Return the alarms that what came since the baseline has raised, oldest first."""
        return [stored.alarm for stored in reversed(PostgresAlarms(self.engine).alarms(state=None, limit=100))]
