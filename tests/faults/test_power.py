"""The database's machine loses power: no packet comes any more, and nobody closes a connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import Engine, text

from monitor.errors import Unavailable
from monitor.postgres.engine import create_engine_for, transaction
from tests.other_machine import OtherMachine
from tests.program import wait_for

pytestmark = pytest.mark.postgres
NOTICED_SECONDS = 45.0  # 30 by the options, and the kernel's timers have their own pace


@pytest.fixture
def machine(postgres_url: str) -> Iterator[OtherMachine]:
    (folder,) = parse_qs(urlsplit(postgres_url).query)["host"]
    with OtherMachine(Path(folder) / ".s.PGSQL.5432") as machine:
        yield machine


@pytest.fixture
def engine(machine: OtherMachine, postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(machine.url(postgres_url))
    yield engine
    engine.dispose()


def test_a_query_in_flight_and_a_copy_in_flight_end_as_unavailable_within_the_minute(
    machine: OtherMachine, engine: Engine
) -> None:
    """Without keepalives both waited for two hours, and the worker with them."""
    started = threading.Barrier(3)
    noticed: dict[str, float] = {}

    def ask() -> None:
        with transaction(engine) as connection:
            connection.execute(text("select 1"))
            started.wait()
            connection.execute(text("select pg_sleep(600)"))

    def send() -> None:
        with transaction(engine) as connection:
            connection.execute(text("create temporary table line (line text)"))
            cursor = connection.connection.cursor()
            with cursor.copy("copy line from stdin") as copy:
                started.wait()
                while True:
                    copy.write(b"x" * 100_000 + b"\n")
                    time.sleep(0.01)

    def timed(name: str, body: Callable[[], None]) -> None:
        try:
            body()
        except Unavailable:
            noticed[name] = time.monotonic()

    threads = [threading.Thread(target=timed, args=(body.__name__, body), daemon=True) for body in (ask, send)]
    for thread in threads:
        thread.start()
    started.wait(30.0)
    time.sleep(1.0)
    machine.lose_power()
    lost_at = time.monotonic()
    for thread in threads:
        thread.join(NOTICED_SECONDS)
    waited = {name: at - lost_at for name, at in noticed.items()}
    assert waited.keys() == {"ask", "send"}
    machine.restore_power()
    wait_for(lambda: answers(engine), "a connection to the machine that is back")


def answers(engine: Engine) -> bool:
    try:
        with transaction(engine) as connection:
            return bool(connection.execute(text("select true")).scalar_one())
    except Unavailable:
        return False


def test_the_server_notices_a_client_that_lost_power_as_soon(engine: Engine) -> None:
    """Its locks would keep the next owner of its partitions waiting."""
    with engine.connect() as connection:  # the embedded server has a Unix socket, so it shows 0 for all of them
        query = "select name from pg_settings where name like 'tcp_%' and source = 'session'"
        connection.rollback()
        names = set(connection.execute(text(query)).scalars())
    assert names == {"tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout"}


def test_what_the_url_says_of_the_connection_is_kept(machine: OtherMachine, postgres_url: str) -> None:
    engine = create_engine_for(machine.url(postgres_url) + "?application_name=mine&keepalives_idle=7")
    with transaction(engine) as connection:
        assert connection.execute(text("show application_name")).scalar_one() == "mine"
        parameters = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
    engine.dispose()
    assert (parameters["keepalives_idle"], parameters["tcp_user_timeout"]) == ("7", "30000")
