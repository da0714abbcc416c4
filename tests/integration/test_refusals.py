"""What PostgreSQL refuses for now is waited for, with a reason in plain words, as Kafka's refusals are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine, text

from monitor.demo.postgres import EmbeddedPostgres
from monitor.errors import Unavailable
from monitor.postgres.engine import create_engine_for, transaction
from tests.program import Site, running, wait_for
from tests.real_kafka import RealKafka
from tests.traces import line, trace

pytestmark = pytest.mark.postgres
ENTRY = text("insert into log_entry (source, places) values ('traces', 3)")


@pytest.fixture
def role(postgres: EmbeddedPostgres, postgres_url: str) -> Iterator[str]:
    """A role with what the daemon needs, and no more."""
    name = f"monitor_{uuid4().hex[:8]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"create role {name} login".encode())
        for rights in ("all on all tables in schema", "all on all sequences in schema", "all on schema"):
            connection.execute(f"grant {rights} public to {name}".encode())
        yield name
        connection.execute(f"drop owned by {name}".encode())
        connection.execute(f"drop role {name}".encode())


@pytest.fixture
def engine(postgres_url: str, role: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url.replace("postgres@", f"{role}@"))
    yield engine
    engine.dispose()


def test_a_server_that_is_away_is_told_in_one_line() -> None:
    """Its second line begins with a tab, which a terminal and the console showed as an escape."""
    engine = create_engine_for("postgresql://postgres@127.0.0.1:1/none")
    with pytest.raises(Unavailable, match="Connection refused") as away, transaction(engine):
        pass
    assert not {"\n", "\t"} & set(str(away.value))


def test_a_right_that_was_withdrawn_is_waited_for(engine: Engine, postgres_url: str, role: str) -> None:
    """Before, the worker ended, and every restart with it."""
    with transaction(engine) as connection:
        connection.execute(ENTRY)
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(f"revoke insert on log_entry from {role}".encode())
    refusal = "the role lacks a right that it needs; grant it: permission denied for table log_entry"
    with pytest.raises(Unavailable, match=refusal), transaction(engine) as connection:
        connection.execute(ENTRY)
    with pytest.raises(Unavailable, match=refusal):
        copy_entry(engine)


def copy_entry(engine: Engine) -> None:
    with transaction(engine) as connection:
        cursor = connection.connection.cursor()
        with cursor.copy("copy log_entry (source) from stdin") as copy:
            copy.write(b"traces\n")


def test_a_lock_that_was_not_had_in_time_is_waited_for(engine: Engine, postgres_url: str, role: str) -> None:
    with psycopg.connect(postgres_url) as owner:
        owner.execute(f"alter role {role} set lock_timeout = '100ms'".encode())
        owner.commit()
        owner.execute("lock table log_entry")
        with pytest.raises(Unavailable, match="somebody holds the table"), transaction(engine) as connection:
            connection.execute(ENTRY)


def test_a_statement_that_took_too_long_is_tried_again(engine: Engine, postgres_url: str, role: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(f"alter role {role} set statement_timeout = '100ms'".encode())
    with pytest.raises(Unavailable, match="longer than statement_timeout"), transaction(engine) as connection:
        connection.execute(text("select pg_sleep(10)"))


def test_a_transaction_that_the_server_ended_for_its_idleness_is_begun_again(engine: Engine) -> None:
    with pytest.raises(Unavailable, match="left idle for too long"):
        stay_idle(engine)
    with transaction(engine) as connection:
        connection.execute(ENTRY)


def stay_idle(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text("set local idle_in_transaction_session_timeout = '50ms'"))
        time.sleep(0.5)
        connection.execute(ENTRY)


@pytest.mark.kafka
def test_a_worker_waits_for_a_right_that_was_withdrawn_and_goes_on(
    kafka: RealKafka, postgres_url: str, role: str
) -> None:
    site = Site(kafka, postgres_url.replace("postgres@", f"{role}@"))
    with psycopg.connect(postgres_url, autocommit=True) as owner, running(site.settings()) as daemon:
        wait_for(lambda: daemon.health.ready()[0], "readiness")
        owner.execute(f"revoke insert on trace from {role}".encode())
        site.send([line(trace(1))])
        wait_for(lambda: "the role lacks a right" in daemon.health.ready()[1]["worker"], "the reason")
        owner.execute(f"grant insert on trace to {role}".encode())
        wait_for(lambda: site.count("trace") == 1, "the trace")
        wait_for(lambda: daemon.health.ready()[0], "readiness again")
