"""The leader's turns: which duties are done, in which order, and when again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from monitor.app.leader import Duty, Leader, StartJobs, WatchPlacement
from monitor.domain.blocker import PlacementBlocker
from monitor.domain.job import Action, PlannedStart
from monitor.errors import Unavailable
from monitor.telemetry.metrics import Metrics


class InMemoryLeadership:
    def __init__(self) -> None:
        self.leads = True

    def acquire(self) -> bool:
        return self.leads

    def release(self) -> None:
        self.leads = False


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def leader_of(
    *duties: Duty, leadership: InMemoryLeadership | None = None, clock: Callable[[], float] | None = None
) -> Leader:
    metrics = Metrics(CollectorRegistry())
    return Leader(leadership or InMemoryLeadership(), duties, metrics=metrics, clock=clock or Clock())


def test_a_duty_is_done_again_when_its_period_is_over() -> None:
    done: list[str] = []
    clock = Clock()
    leader = leader_of(
        Duty("each", 0.0, lambda: done.append("each")), Duty("rare", 60.0, lambda: done.append("rare")), clock=clock
    )
    leader.turn()
    clock.now += 59.0
    leader.turn()
    clock.now += 1.0
    leader.turn()
    assert done == ["each", "rare", "each", "each", "rare"]


def test_a_replica_that_does_not_lead_does_nothing() -> None:
    leadership = InMemoryLeadership()
    leadership.release()
    done: list[str] = []
    assert leader_of(Duty("each", 0.0, lambda: done.append("each")), leadership=leadership).turn() is False
    assert done == []


def test_a_turn_tells_whether_a_duty_has_more_to_do_at_once() -> None:
    assert leader_of(Duty("fold", 0.0, lambda: True), Duty("show", 0.0, lambda: None)).turn() is True
    assert leader_of(Duty("fold", 0.0, lambda: False)).turn() is False


def test_a_duty_that_has_more_is_due_at_once_and_after_its_period_when_it_has_none() -> None:
    left = [True, True, False]
    leader = leader_of(Duty("rare", 60.0, lambda: left.pop(0)))
    assert [leader.turn() for _ in range(4)] == [True, True, False, False]
    assert left == []


def test_a_duty_that_could_not_be_done_is_due_at_the_next_turn() -> None:
    tries: list[int] = []

    def away_at_first() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise Unavailable("PostgreSQL: away")

    leader = leader_of(Duty("rare", 60.0, away_at_first))
    with pytest.raises(Unavailable):
        leader.turn()
    leader.turn()
    assert len(tries) == 2


def blocker_of(seconds: float) -> PlacementBlocker:
    return PlacementBlocker("transaction", "sales", "etl", "psql", 7, None, seconds)


def test_a_transaction_that_keeps_rows_waiting_for_a_minute_is_named_by_the_leader() -> None:
    metrics = Metrics(CollectorRegistry())
    WatchPlacement(lambda: None, metrics)()
    WatchPlacement(lambda: blocker_of(59.0), metrics)()
    with pytest.raises(Unavailable, match="'psql' of user 'etl' in database 'sales', open for 61 s"):
        WatchPlacement(lambda: blocker_of(61.0), metrics)()


class InMemoryStarts:
    """A planner whose rules come to what a test says."""

    def __init__(self) -> None:
        self.followed = 0
        self.decisions = ["no_alarm", "not_due"]

    def follow_calendar(self) -> None:
        self.followed += 1

    def start_due(self) -> list[PlannedStart]:
        return [PlannedStart(f"rule {number}", Action.DPO, word, "") for number, word in enumerate(self.decisions)]


def test_jobs_are_started_each_time_and_what_a_rule_comes_to_is_logged_when_it_changes() -> None:
    jobs = InMemoryStarts()
    start = StartJobs(jobs)
    with capture_logs() as logs:
        start()
        start()
        jobs.decisions[0] = "launch"
        start()
    assert jobs.followed == 1
    assert [(line["rule"], line["decision"]) for line in logs] == [
        ("rule 0", "no_alarm"),
        ("rule 1", "not_due"),
        ("rule 0", "launch"),
    ]
