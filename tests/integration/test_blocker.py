"""A transaction that keeps stored traces from the fold is found and named, whichever database it is in."""

from __future__ import annotations

import psycopg
import pytest

from monitor.demo.postgres import EmbeddedPostgres
from monitor.drift.baseline import NullRule
from monitor.drift.controller import Controller, ControllerRules
from monitor.postgres.blocker import find_blocker
from monitor.postgres.engine import create_engine_for
from monitor.postgres.streams import PostgresFoldStore
from tests.traces import drifting
from tests.watched import watch

pytestmark = pytest.mark.postgres


def test_an_open_transaction_in_another_database_is_named_while_stored_traces_wait_for_it(
    postgres: EmbeddedPostgres, postgres_url: str
) -> None:
    engine = create_engine_for(postgres_url)
    store = PostgresFoldStore(engine)
    controller = Controller(store, ControllerRules(10_000.0, 0, NullRule()))
    with psycopg.connect(postgres.url, application_name="forgotten") as other:
        other.execute("create temporary table open_for_long (number int)")
        pid = other.info.backend_pid
        assert find_blocker(engine) is None, "nothing waits yet"
        watch(postgres_url, drifting(10, change=10), baseline=0)
        blocker = find_blocker(engine)
        assert blocker is not None
        assert blocker.name == f"session {pid} (forgotten, database postgres)"
        other.execute("select pg_sleep(1.1)")
        later = find_blocker(engine)
        assert later is not None
        assert later.seconds > 1.1
        other.rollback()
    controller.tick()
    assert find_blocker(engine) is None
    engine.dispose()
