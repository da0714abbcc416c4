"""What keeps stored rows from being folded is named: any transaction on the server, in whatever database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, text

from monitor.demo.postgres import EmbeddedPostgres
from monitor.domain.blocker import PlacementBlocker
from monitor.postgres.engine import create_engine_for, transaction
from monitor.postgres.migrate import upgrade
from monitor.postgres.placement import PostgresPlacement, long_blocker
from monitor.postgres.views.overview import PostgresOverview

pytestmark = pytest.mark.postgres
ENTRY = "insert into log_entry (source, places) values ('traces', 3)"


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


def store(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text(ENTRY))


def named(engine: Engine) -> PlacementBlocker:
    found = PostgresPlacement(engine).blocker()
    assert found is not None
    return found


def test_a_transaction_in_another_database_is_named(engine: Engine, postgres: EmbeddedPostgres) -> None:
    """Before, the fold stood still and nothing told why."""
    with psycopg.connect(postgres.url, application_name="nightly import") as other:
        other.execute("create temporary table written (number int)")
        store(engine)
        found = named(engine)
        assert (found.kind, found.database, found.user) == ("transaction", "postgres", "postgres")
        assert found.name == "nightly import"
        assert found.since is not None
        assert found.process == other.info.backend_pid
        assert "'nightly import' of user 'postgres' in database 'postgres', open since" in str(found)
    assert PostgresPlacement(engine).blocker() is None


def test_a_transaction_that_only_reads_keeps_nobody(engine: Engine, postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url) as other:
        other.execute("set transaction isolation level repeatable read")
        other.execute("select count(*) from pg_class")
        store(engine)
        assert PostgresPlacement(engine).blocker() is None


def test_a_transaction_is_no_matter_where_no_row_waits(engine: Engine, postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url) as other:
        other.execute("create temporary table written (number int)")
        assert PostgresPlacement(engine).blocker() is None


def test_only_one_that_lasts_is_told_in_the_overview(engine: Engine, postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url) as other:
        other.execute("create temporary table written (number int)")
        store(engine)
        with transaction(engine) as connection:
            assert long_blocker(connection) is None


def test_one_that_lasts_is_named_in_the_overview(
    engine: Engine, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.postgres.placement.NAMED_AFTER_SECONDS", 0.0)
    overviews = PostgresOverview(engine, kafka_lag=lambda: None)
    with psycopg.connect(postgres.url, application_name="nightly import") as other:
        other.execute("create temporary table written (number int)")
        store(engine)
        assert "'nightly import' of user 'postgres'" in str(overviews.overview().placement_blocked_by)
    assert overviews.overview().placement_blocked_by is None


def test_an_ordinary_role_names_what_it_may_see(engine: Engine, postgres: EmbeddedPostgres, postgres_url: str) -> None:
    role = f"monitor_{uuid4().hex[:8]}"
    with transaction(engine) as connection:
        connection.execute(text(f"create role {role} login"))
        connection.execute(text(f"grant select on log_entry to {role}"))
    ordinary = create_engine_for(postgres_url.replace("postgres@", f"{role}@"))
    with psycopg.connect(postgres.url, application_name="nightly import") as other:
        other.execute("create temporary table written (number int)")
        store(engine)
        with transaction(engine) as connection:
            connection.execute(text("update log_entry set created_at = created_at - interval '75 s'"))
        found = named(ordinary)
    ordinary.dispose()
    with transaction(engine) as connection:
        connection.execute(text(f"drop owned by {role}"))
        connection.execute(text(f"drop role {role}"))
    assert (found.database, found.user, found.name, found.since) == ("postgres", "postgres", "nightly import", None)
    assert 75.0 <= found.seconds < 135.0
    assert "open for 7" in str(found)


def test_a_prepared_transaction_that_nobody_ended_is_named(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    with server, psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("alter system set max_prepared_transactions = 2"))
    with server:
        upgrade(server.url)
        engine = create_engine_for(server.url)
        with psycopg.connect(server.url, autocommit=True) as other:
            other.execute("begin")
            other.execute("create table written (number int)")
            other.execute("prepare transaction 'forgotten'")
        store(engine)
        found = named(engine)
        engine.dispose()
    assert (found.kind, found.database, found.user) == ("prepared transaction", "postgres", "postgres")
    assert (found.name, found.process) == ("forgotten", None)
    assert "it can be ended by rollback prepared" in str(found)


def test_a_session_of_ours_that_is_stopped_in_the_middle_of_copy_is_ended_and_no_other(
    engine: Engine, postgres_url: str
) -> None:
    """The server waits for the next row without end, and every row after it waits for its place."""
    with (
        psycopg.connect(postgres_url, application_name="rlhf-monitor") as stopped,
        psycopg.connect(postgres_url, application_name="somebody") as other,
    ):
        for connection in (stopped, other):
            connection.execute("create temporary table line (line text)")
        theirs, ours = (connection.cursor().copy("copy line from stdin") for connection in (other, stopped))
        with theirs as copy:
            ours.__enter__()
            store(engine)
            placement = PostgresPlacement(engine)
            assert placement.end_silent() == 0  # not for long yet
            assert placement.end_silent(after_seconds=0.0) == 1
            copy.write(b"row\n")
        assert other.execute("select count(*) from line").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError):
            ours.__exit__(None, None, None)
        assert placement.end_silent(after_seconds=0.0) == 0
