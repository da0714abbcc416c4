"""Make a change by an API on PostgreSQL, in a process that is killed at one of its commits.

`python keyed_program.py URL KEY BODY WHEN`: "before" its change is committed, or "after" that and before its answer is.
"""

from __future__ import annotations

import os
import signal
import sys

from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Engine, event

from monitor.app.ports import ports_of
from monitor.postgres.engine import create_engine_for
from monitor.settings.root import Settings
from monitor.telemetry.health import Health
from monitor.web.app import create_app

HEADERS = {"X-Requested-With": "rlhf-monitor", "Content-Type": "application/json"}


def keyed_client(engine: Engine) -> TestClient:
    app = create_app(ports_of(engine, Settings()), health=Health(()), registry=CollectorRegistry(), tokens={})
    return TestClient(app, base_url="http://localhost", headers=HEADERS)


def _kill_at_commit(engine: Engine, when: str) -> None:
    told = {"before": "insert into audit", "after": "update kept_answer set status"}[when]

    @event.listens_for(engine, "before_cursor_execute")
    def watch(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if told in statement.lower():
            if when == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            event.listen(engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGKILL))


if __name__ == "__main__":
    url, key, body, moment = sys.argv[1:]
    opened = create_engine_for(url)
    _kill_at_commit(opened, moment)
    keyed_client(opened).post("/api/v1/erasures", content=body, headers={"Idempotency-Key": key})
