"""A part that hangs is not ready: the one who asks finds out, since a thread that hangs tells nothing."""

from __future__ import annotations

import pytest

from monitor.telemetry.health import Health
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    health = Health(["worker", "web"], clock=clock)
    health.set_ready("worker")
    health.set_ready("web")
    return health


def test_a_part_that_hangs_past_its_limit_is_not_ready(health: Health, clock: Clock) -> None:
    health.set_busy("worker", 30.0, "storing a batch")
    clock.now += 30.0
    assert health.ready() == (True, {"worker": "", "web": ""})
    clock.now += 1.0
    assert health.ready() == (False, {"worker": "storing a batch: not done after 31 s", "web": ""})


def test_a_part_that_comes_back_late_is_ready_again(health: Health, clock: Clock) -> None:
    health.set_busy("worker", 30.0, "storing a batch")
    clock.now += 100.0
    health.set_ready("worker")
    assert health.ready()[0]
    clock.now += 100.0
    assert health.ready()[0]


def test_a_part_that_waits_for_a_known_reason_says_that_reason(health: Health, clock: Clock) -> None:
    health.set_busy("worker", 30.0, "storing a batch")
    clock.now += 100.0
    health.set_not_ready("worker", "PostgreSQL: away")
    assert health.ready()[1]["worker"] == "PostgreSQL: away"


def test_each_piece_of_work_has_its_own_limit(health: Health, clock: Clock) -> None:
    health.set_busy("worker", 30.0, "storing a batch")
    clock.now += 29.0
    health.set_busy("worker", 30.0, "storing a batch")
    clock.now += 29.0
    assert health.ready()[0]


def test_work_does_not_make_a_part_ready_that_was_not(health: Health) -> None:
    health.set_not_ready("worker", "PostgreSQL: away")
    health.set_busy("worker", 30.0, "storing a batch")
    assert health.ready()[1]["worker"] == "PostgreSQL: away"


def test_a_part_that_failed_stays_failed_whatever_it_was_doing(health: Health, clock: Clock) -> None:
    health.set_busy("worker", 30.0, "storing a batch")
    health.fail("worker", RuntimeError("boom"))
    health.set_busy("worker", 30.0, "storing a batch")
    clock.now += 100.0
    assert health.ready()[1]["worker"] == "failed: RuntimeError"


def test_work_without_words_is_refused(health: Health) -> None:
    with pytest.raises(ValueError, match="worker"):
        health.set_busy("worker", 30.0, "")
