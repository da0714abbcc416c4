"""Schemathesis over the whole HTTP API: does it answer as its own description says, to whatever it is asked?

    python -m tests.fuzzing [--role ROLE ...] [--examples N] [--seed N]

A PostgreSQL holds traces that have drifted, alarms, jobs, models and a review queue. Each role asks every operation
with the description's examples, at the bounds of its parameters ("coverage"), with random ones ("fuzzing"), and in
sequences that follow links ("stateful"). What is told is every answer that contradicts the description.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import schemathesis
from prometheus_client import CollectorRegistry
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.hooks import GLOBAL_HOOK_DISPATCHER
from sqlalchemy import Engine, text

from monitor.access.credential import RememberedCredentials
from monitor.app.history import RollUp
from monitor.app.ports import ports_of
from monitor.demo.postgres import EmbeddedPostgres
from monitor.domain.job import JobState
from monitor.domain.order import Actor, Role
from monitor.postgres.engine import create_engine_for
from monitor.postgres.migrate import upgrade
from monitor.postgres.rollups import PostgresRollups
from monitor.settings.root import Settings
from monitor.telemetry.health import Health
from monitor.telemetry.metrics import Metrics
from monitor.web.app import create_app
from monitor.web.auth import Gatekeeper, Guard
from monitor.web.state import MAX_NUMBER
from monitor.web.throttle import LoginThrottle
from tests.integration.job_parts import Parts
from tests.integration.released import passed_policy
from tests.integration.reviewing import store_items
from tests.labels import label, wire
from tests.traces import drifting
from tests.unit.in_memory_desk import InMemoryDesk
from tests.unit.in_memory_letters import LetterTopic, a_letter
from tests.watched import watch

TOKENS = {"a-token-to-view": "viewer", "a-token-to-label": "annotator", "a-token-to-run": "operator"}
PHASES = ("examples", "coverage", "fuzzing", "stateful")
ENDLESS = "/api/v1/overview/changes"  # a stream that goes on: test_feed has it
KEY = "Idempotency-Key"
ANNOTATOR = "ada"
STEPS = 25  # of one sequence at most


@dataclass
class Findings:
    """What a run has found, and how much it has asked."""

    asked: Counter[str] = field(default_factory=Counter)  # by operation
    followed: Counter[str] = field(default_factory=Counter)  # by operation that a link of an answer led to
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[tuple[str, str, str], str] = field(default_factory=dict)  # by check, operation and title
    errors: list[str] = field(default_factory=list)  # what kept operations from being asked

    def add(self, event: events.EngineEvent) -> None:
        if isinstance(event, events.NonFatalError):
            self.errors.append(f"{event.label}: {event.value}")
        elif isinstance(event, events.FatalError):
            self.errors.append(repr(event.exception))
        elif isinstance(event, events.ScenarioFinished):
            self._add_recorded(event.recorder)

    def _add_recorded(self, recorder: Any) -> None:
        for case_id, interaction in recorder.interactions.items():
            node = recorder.cases[case_id]
            self.asked[node.value.operation.label] += 1
            self.followed[node.value.operation.label] += node.transition is not None
            if interaction.response is not None:
                self.statuses[int(interaction.response.status_code)] += 1
        for case_id, checks in recorder.checks.items():
            for check in checks:
                if check.status is Status.FAILURE and check.failure_info is not None:
                    failure, response = check.failure_info.failure, recorder.interactions[case_id].response
                    told = "" if response is None else response.content[:400].decode(errors="replace")
                    body = f"{failure.message}\n{check.failure_info.code_sample}\n{told}"
                    self.failures.setdefault((check.name, failure.operation, failure.title), body)

    def __str__(self) -> str:
        found = [f"{' | '.join(key)}\n{body}" for key, body in sorted(self.failures.items())]
        return "\n\n".join([*self.errors, *found])


@contextmanager
def telling_what_no_schema_can() -> Iterator[None]:
    """Mend sound requests where what is sound depends on what else was sent, or when.

    A change has a key of its own, a cursor is one that its listing has told, a window's stop is above its first trace,
    and a label is of the past and of whoever sends it. Where an answer has null for a number, nobody asks for that.
    """
    keys, cursors = count(), dict[str, str]()  # by listing, as its path tells it

    @schemathesis.hook
    def before_call(_: Any, case: Any, _kwargs: dict[str, Any]) -> None:
        if case.meta is None or not case.meta.generation.mode.is_positive:
            return
        case.path_parameters.update({name: 1 for name, told in case.path_parameters.items() if told in {None, "null"}})
        if case.headers and KEY in case.headers:
            case.headers[KEY] = f"key-{next(keys)}"
        if case.query and "cursor" in case.query:
            del case.query["cursor"]
            if case.formatted_path in cursors:
                case.query["cursor"] = cursors[case.formatted_path]
        if isinstance(case.body, dict):
            mend_body(case.body)

    @schemathesis.hook
    def after_call(_: Any, case: Any, response: Any) -> None:
        for link in response.headers.get("link", ()):
            if told := re.search(r"cursor=([^&>]+)", link):
                cursors[case.formatted_path] = told.group(1)

    try:
        yield
    finally:
        GLOBAL_HOOK_DISPATCHER.unregister_all()


def mend_body(body: dict[str, Any]) -> None:
    first, stop = body.get("first"), body.get("stop")
    if isinstance(first, int | float) and isinstance(stop, int | float) and stop <= first:
        body |= {"first": 0, "stop": first + 1 if first < MAX_NUMBER else first}
    for row in body.get("labels", ()):
        told = min(max(row["timestamp"], "2000-01-02T00:00:00Z"), "2026-11-22T03:00:00Z")  # no label is older than 2000
        row |= {"timestamp": told, "annotator_id": ANNOTATOR}


def fill(postgres_url: str, engine: Engine, folder: Path) -> None:
    """Put something of everything into an empty database."""
    store_items(engine, range(1000, 1008))
    watch(postgres_url, drifting(600, change=300), baseline=300)
    RollUp(PostgresRollups(engine, days=90))()
    Parts(engine, folder).adopt_champion()
    passed_policy(engine, folder / "policy", "kind", None)
    insert = text("insert into job (action, state, reason, requested_by) values (:action, :state, 'by hand', 'ada')")
    states = {"kto": JobState.AWAITING_APPROVAL, "reward_refresh": JobState.QUEUED, "dpo": JobState.CANCELLED}
    with engine.begin() as connection:
        connection.execute(insert, [{"action": action, "state": state} for action, state in states.items()])
    labels = ports_of(engine, Settings()).labels
    labels.post([wire(label(number)) for number in range(3)], actor=Actor("ada", Role.OPERATOR))


def app_of(engine: Engine) -> Any:
    """Return the application over *engine*, with dead letters and without a bound on guesses.

    A check that sends wrong tokens wants 401 of each: what the bound itself does, test_access shows.
    """
    dead = [a_letter(number) for number in range(5)]
    stored = ports_of(engine, Settings())
    ports = replace(stored, letters=LetterTopic(dead).port(), letter_desk=InMemoryDesk(dead=dead))
    registry = CollectorRegistry()
    Metrics(registry)
    app = create_app(ports, health=Health([]), registry=registry, tokens=TOKENS)
    hours = count(step=3600)
    throttle = LoginThrottle(clock=lambda: float(next(hours)))
    app.state.gatekeeper = Gatekeeper(
        Guard(TOKENS, {"a-token-to-label": ANNOTATOR}), RememberedCredentials(ports.credentials), throttle
    )
    return app


def ask(app: Any, role: str, phases: Mapping[str, int], *, seed: int | None = None) -> Findings:
    """Ask everything as *role*, with so many examples or sequences a phase; without *seed* the same every time."""
    chosen: dict[str, dict[str, Any]] = {name: {"enabled": name in phases} for name in PHASES}
    for name, examples in phases.items():
        if name != "coverage":
            chosen[name] |= {"generation": {"max-examples": examples}}
    chosen["stateful"] |= {"max-steps": STEPS}
    token = next(token for token, held in TOKENS.items() if held == role)
    settings: dict[str, Any] = {
        "phases": chosen,
        "headers": {"Authorization": f"Bearer {token}"},
        "generation": {"deterministic": seed is None, "database": "none"},
        "continue-on-failure": True,
    }
    config = SchemathesisConfig.from_dict(settings | ({} if seed is None else {"seed": seed}))
    described = schemathesis.openapi.from_asgi("/api/openapi.json", app, config=config)
    findings = Findings()
    with telling_what_no_schema_can():
        for event in from_schema(described.exclude(path=ENDLESS)).execute():
            findings.add(event)
    return findings


@contextmanager
def filled() -> Iterator[Any]:
    """Yield an application over a database of its own."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, EmbeddedPostgres(Path(folder) / "data") as server:
        upgrade(server.url)
        engine = create_engine_for(server.url)
        fill(server.url, engine, Path(folder))
        yield app_of(engine)
        engine.dispose()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", nargs="+", choices=sorted(TOKENS.values()), default=sorted(TOKENS.values()))
    parser.add_argument("--examples", type=int, default=100, help="of each operation in each random phase")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=PHASES)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    given = parser.parse_args(arguments)
    found = False
    for role in given.role:
        with filled() as app:
            began = time.process_time()
            findings = ask(app, role, dict.fromkeys(given.phases, given.examples), seed=given.seed)
        spent = time.process_time() - began
        asked, followed = findings.asked.total(), findings.followed.total()
        print(f"{role}, seed {given.seed}: {asked} requests, {followed} by links; {spent:.0f} s; {findings.statuses}")
        print(findings)
        found = found or bool(str(findings))
    sys.exit(found)


if __name__ == "__main__":
    main()
