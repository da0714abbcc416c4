"""The worker on a real PostgreSQL that loses what it had committed."""

from __future__ import annotations

from typing import cast

import psycopg
import pytest

from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from tests.unit.memory import Bench, InMemoryCheckpoints, ScriptedSource, lines, wait_for

pytestmark = pytest.mark.postgres
A = ("traces", 0)


def test_a_server_that_came_back_without_its_last_commits_is_noticed_without_a_new_record_and_all_is_read_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.pipeline.worker.COMPARE_SECONDS", 0.2)
    engine = create_engine_for(postgres_url)
    store = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
    bench = Bench(ScriptedSource({A: lines(*range(40))}), store=cast(InMemoryCheckpoints, store))

    def traces() -> int:
        with psycopg.connect(postgres_url) as connection:
            row = connection.execute("select count(*) from trace").fetchone()
        return 0 if row is None else int(row[0])

    with bench.running():
        wait_for(lambda: bench.source.committed == {A: 40}, "all of it")
        with psycopg.connect(postgres_url) as connection:  # what a server without its last commits looks like
            connection.execute("truncate log_entry, stored_trace, trace, score, repeat_key cascade")
            connection.execute("update consumer_offset set next_offset = 0")
        wait_for(lambda: traces() == 40, "what was lost")
    assert bench.health.failure is None
    assert bench.source.restarts == 1
    assert store.stored_offsets()[A].next_offset == 40
    engine.dispose()
