"""A dump restored into another server, whose transaction ids lie far behind the dump's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text

from monitor.demo.postgres import EmbeddedPostgres
from monitor.ingest.offset import StoredOffset
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for, transaction
from monitor.postgres.log import place_entries
from tests.traces import checkpoint, scored, trace

pytestmark = pytest.mark.postgres
BATCHES, SIZE = 5, 300


@pytest.fixture
def restored(postgres_url: str, tmp_path: Path) -> Iterator[Engine]:
    """A fresh server with 1,500 traces that were dumped from one with many more transactions, unplaced."""
    source = create_engine_for(postgres_url)
    store = worker(source)
    store.begin({("traces", 0): StoredOffset(0)})
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for _ in range(2000):
            connection.execute("select pg_current_xact_id()")
        (folder,) = connection.execute("select setting from pg_config() where name = 'BINDIR'").fetchone() or ("",)
    for number in range(BATCHES):
        write(store, number)
    source.dispose()
    command = [str(Path(folder) / "pg_dump"), "--inserts", "--rows-per-insert=1000", "--dbname", postgres_url]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    script = "\n".join(line for line in dump.splitlines() if not line.startswith("\\"))  # psql's own commands
    with EmbeddedPostgres(tmp_path / "fresh") as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(script.encode())
        engine = create_engine_for(server.url)
        yield engine
        engine.dispose()


def worker(engine: Engine) -> PostgresCheckpoints:
    return PostgresCheckpoints(engine, group_id="group", max_cohorts=50)


def write(store: PostgresCheckpoints, number: int) -> None:
    numbers = range(number * SIZE, (number + 1) * SIZE)
    store.write(checkpoint(scored([trace(each) for each in numbers]), start=number * SIZE))


def placed(engine: Engine) -> list[tuple[int | None, int | None]]:
    """Place what can be placed; return sequence and first place of every entry, in the order of their numbers."""
    with transaction(engine) as connection:
        place_entries(connection)
        rows = connection.execute(text("select sequence, first_place from log_entry order by entry_id"))
        return [(row.sequence, row.first_place) for row in rows]


def test_traces_of_a_restored_dump_get_their_places_at_once(restored: Engine) -> None:
    with restored.begin() as connection:
        ahead = "select bool_and(xact > pg_snapshot_xmax(pg_current_snapshot())) from log_entry"
        assert connection.execute(text(ahead)).scalar_one(), "the dump's transactions must lie ahead of the server's"
    assert placed(restored) == [(number + 1, number * SIZE) for number in range(BATCHES)]


def test_a_restored_log_goes_on_and_still_waits_for_transactions_that_run(restored: Engine) -> None:
    placed(restored)
    with restored.connect() as slow:
        slow.execute(text("insert into log_entry (source, places) values ('traces', 1)"))
        write(worker(restored), BATCHES)
        assert placed(restored)[-1] == (None, None)
        slow.commit()
    assert placed(restored)[-2:] == [(BATCHES + 1, BATCHES * SIZE), (BATCHES + 2, BATCHES * SIZE + 1)]
