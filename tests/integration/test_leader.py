"""The leader's lease: held while it is renewed by a process that lives, by the database's clock."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from monitor.errors import Fenced, Unavailable
from monitor.postgres.engine import create_engine_for, transaction
from monitor.postgres.leader import LEASE_SECONDS, RENEW_SECONDS, Leadership, is_led
from tests.clock import Clock

pytestmark = pytest.mark.postgres


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def leads(engine: Engine) -> bool:
    with transaction(engine) as connection:
        return is_led(connection)


def pass_time(engine: Engine, seconds: float) -> None:
    """Let the lease be that much older."""
    query = text("update leader_lease set renewed_at = renewed_at - make_interval(secs => :seconds)")
    with transaction(engine) as connection:
        connection.execute(query, {"seconds": seconds})


def test_a_leader_that_hangs_without_dying_is_replaced_when_its_lease_is_over(engine: Engine, clock: Clock) -> None:
    hangs, follows = Leadership(engine, clock=clock), Leadership(engine)
    assert hangs.acquire()
    pass_time(engine, LEASE_SECONDS - 2.0)
    assert not follows.acquire()
    pass_time(engine, 2.0)
    assert not leads(engine)
    assert follows.acquire()
    clock.now += RENEW_SECONDS
    assert not hangs.acquire()
    assert leads(engine)
    follows.release()
    hangs.release()


def test_a_leader_that_is_slow_keeps_its_lease_where_nobody_wants_it(engine: Engine, clock: Clock) -> None:
    slow = Leadership(engine, clock=clock)
    assert slow.acquire()
    pass_time(engine, 10 * LEASE_SECONDS)
    clock.now += RENEW_SECONDS
    assert slow.acquire()
    assert leads(engine)
    slow.release()


def test_a_leader_whose_one_duty_takes_longer_than_the_lease_keeps_it(engine: Engine, clock: Clock) -> None:
    busy, follows = Leadership(engine, clock=clock), Leadership(engine)
    assert busy.acquire()
    fenced = busy.fenced_engine()
    for _ in range(3):
        pass_time(engine, LEASE_SECONDS * 0.6)
        clock.now += LEASE_SECONDS * 0.6
        with transaction(fenced) as connection:
            connection.execute(text("select 1"))
        assert not follows.acquire()
    follows.release()
    busy.release()


def test_a_leader_that_dies_is_replaced_at_once(engine: Engine) -> None:
    dies, follows = Leadership(engine), Leadership(engine)
    assert dies.acquire()
    assert not follows.acquire()
    query = "select pg_terminate_backend(pid, 10000) from pg_locks join leader_lease on objid = session_lock::oid"
    with transaction(engine) as connection:
        assert connection.execute(text(query)).scalars().all() == [True]
    assert follows.acquire()
    follows.release()
    dies.release()


def test_a_leader_whose_connection_broke_leads_again_over_another(engine: Engine, clock: Clock) -> None:
    leader = Leadership(engine, clock=clock)
    assert leader.acquire()
    query = "select pg_terminate_backend(pid, 10000) from pg_locks join leader_lease on objid = session_lock::oid"
    with transaction(engine) as connection:
        connection.execute(text(query))
    clock.now += RENEW_SECONDS
    with pytest.raises(Unavailable):
        leader.acquire()
    assert leader.acquire()
    assert leads(engine)
    leader.release()
    assert not leads(engine)


def test_the_lease_is_written_every_few_seconds_not_at_every_question(engine: Engine, clock: Clock) -> None:
    leader = Leadership(engine, clock=clock)
    seen = set()
    for _ in range(100):
        assert leader.acquire()
        clock.now += RENEW_SECONDS / 50.0
        with transaction(engine) as connection:
            seen.add(connection.execute(text("select renewed_at from leader_lease")).scalar_one())
    assert len(seen) == 2
    leader.release()


def test_what_a_replaced_leader_still_wants_to_write_is_fenced(engine: Engine) -> None:
    hangs, follows = Leadership(engine), Leadership(engine)
    assert hangs.acquire()
    fenced = hangs.fenced_engine()
    with transaction(fenced) as connection:
        connection.execute(text("select 1"))
    pass_time(engine, LEASE_SECONDS)
    assert follows.acquire()
    with pytest.raises(Fenced, match="another replica leads"), transaction(fenced):
        pytest.fail("a replaced leader's transaction began")
    assert not hangs.acquire()
    with transaction(engine) as connection:  # only what it does for all is fenced
        connection.execute(text("select 1"))
    follows.release()
    hangs.release()


def test_nobody_takes_over_in_the_middle_of_a_leader_s_transaction(engine: Engine) -> None:
    slow, follows = Leadership(engine), Leadership(engine)
    assert slow.acquire()
    pass_time(engine, LEASE_SECONDS)
    with ThreadPoolExecutor(1) as pool:
        with transaction(slow.fenced_engine()) as connection:
            connection.execute(text("select 1"))
            taken = pool.submit(follows.acquire)
            with pytest.raises(TimeoutError):
                taken.result(0.5)
        assert taken.result(10.0)
    follows.release()
    slow.release()
