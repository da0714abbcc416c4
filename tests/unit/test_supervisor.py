"""Parts leave together, wait for what is away, and are not ready while they hang."""

from __future__ import annotations

import threading

import pytest

from monitor.app.supervisor import Supervisor
from monitor.errors import Unavailable
from monitor.telemetry.health import Health
from tests.clock import Clock


def test_a_part_whose_turn_hangs_is_not_ready_until_it_ends() -> None:
    clock = Clock()
    health = Health(["leader"], clock=clock)
    supervisor = Supervisor(health, leave_seconds=1.0)
    seen: list[tuple[bool, str]] = []

    def turn() -> None:
        clock.now += 61.0
        ready, parts = health.ready()
        seen.append((ready, parts["leader"]))
        supervisor.stopping.set()

    supervisor.repeat("leader", turn, pause_seconds=0.0, limit_seconds=60.0)
    assert seen == [(False, "taking its turn: not done after 61 s")]
    assert health.ready()[0]


def test_a_part_waits_for_what_is_away_and_goes_on() -> None:
    health = Health(["leader"])
    supervisor = Supervisor(health, leave_seconds=1.0)
    turns: list[str] = []

    def turn() -> None:
        turns.append(health.ready()[1]["leader"])
        if len(turns) == 1:
            raise Unavailable("PostgreSQL: away")
        supervisor.stopping.set()

    supervisor.repeat("leader", turn, pause_seconds=0.0)
    assert turns == ["starting", "PostgreSQL: away"]
    assert health.ready()[0]


def test_the_first_part_that_fails_ends_the_others() -> None:
    health = Health(["fails", "waits"])
    supervisor = Supervisor(health, leave_seconds=10.0)
    left = threading.Event()

    def fail() -> None:
        raise ValueError("a bug")

    def wait() -> None:
        supervisor.stopping.wait(10.0)
        left.set()

    supervisor.run({"fails": fail, "waits": wait}, threading.Event())
    assert left.is_set()
    assert health.failure is not None
    with pytest.raises(ValueError, match="a bug"):
        raise health.failure.exception
