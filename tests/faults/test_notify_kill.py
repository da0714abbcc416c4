"""A leader that is killed while it tells of an incident: the next one tells it, and the receiver knows it as one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitor.postgres.engine import create_engine_for
from tests.integration.telling import Leader, due_now, recover, stored, telling
from tests.notified import ReceiverServer, Reply
from tests.traces import drifting
from tests.watched import watch

pytestmark = pytest.mark.postgres
PROGRAM = Path(__file__).parents[1] / "integration" / "notifying_program.py"


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    watch(postgres_url, drifting(1200, change=700), baseline=600)
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("stopped_at", ["stored", "sent"])
def test_a_page_is_opened_and_resolved_once_by_its_key_wherever_the_leader_is_killed(
    engine: Engine, postgres_url: str, stopped_at: str
) -> None:
    with ReceiverServer(lambda _: Reply(202, b'{"status": "success"}')) as server:
        pager = {"ops": {"routing_key": "R0UT1NG", "api": server.url}}
        given = {"postgres": {"url": postgres_url}, "notify": {"pagerduty": pager}}
        killed = subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps(given), stopped_at], stdout=subprocess.PIPE, text=True
        )
        with killed:
            assert killed.stdout is not None
            assert killed.stdout.readline() == "here\n"
            killed.kill()
        assert stored(engine, "pending is not null and told is null") == [True]
        leader = Leader(engine, telling(pagerduty=pager))
        leader.idle()
        assert len(server.posted) == (stopped_at == "sent"), "the one before may still be sending"
        due_now(engine)
        leader.until(lambda: stored(engine, "told is not null") == [True])
        recover(engine)
        leader.until(lambda: stored(engine, "closed") == [True])
    events = [(posted.json["event_action"], posted.json["dedup_key"]) for posted in server.posted]
    assert len({key for _, key in events}) == 1
    assert list(dict.fromkeys(action for action, _ in events)) == ["trigger", "resolve"]
    triggers = [posted.body for posted in server.posted if posted.json["event_action"] == "trigger"]
    assert (len(triggers), len(set(triggers))) == (2 if stopped_at == "sent" else 1, 1)
