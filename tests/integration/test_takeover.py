"""A run outlives its daemon: taken up again where it is found, started anew where it is gone, never twice."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from monitor.domain.job import JobState
from monitor.domain.order import JobOrder
from monitor.errors import Unavailable
from monitor.postgres import schema
from monitor.retraining.dispatcher import Step
from monitor.retraining.lease import MAX_LOST, LeasedJobs
from monitor.retraining.records import Lease
from tests.integration.job_parts import (
    OPERATOR,
    Parts,
    drive,
    wait_until,
)
from tests.processes import is_alive

pytestmark = pytest.mark.postgres


def test_a_silent_dispatcher_s_run_is_taken_up_and_not_started_twice(parts: Parts) -> None:
    parts.start()
    silent, other = parts.dispatcher("slow"), parts.dispatcher(owner="two")
    drive(silent, Step.WATCHED)
    (pid,) = parts.pids()
    assert other.tick() is Step.IDLE
    parts.run_out()
    assert other.tick() is Step.ATTACHED
    assert silent.tick() is Step.FENCED
    drive(other, Step.PROMOTED)
    assert (parts.job().attempt, parts.pids()) == (1, [pid])
    assert parts.events() == ["queued", "leased", "running", "running", "evaluating", "passed", "promoted"]


def test_a_run_that_is_gone_is_started_anew_and_no_attempt_is_counted(parts: Parts) -> None:
    parts.start()
    silent, other = parts.dispatcher("hang", max_attempts=1), parts.dispatcher(owner="two", max_attempts=1)
    drive(silent, Step.WATCHED)
    parts.end_runs()
    (parts.folder / "runs" / "job-1" / "attempt-1" / "exit_code").write_text(" ")  # the machine lost its power
    parts.run_out()
    assert other.tick() is Step.LEASED
    assert silent.tick() is Step.FENCED
    drive(other, Step.PROMOTED)
    assert parts.job().attempt == 1
    assert parts.events()[:5] == ["queued", "leased", "running", "queued", "leased"]


def test_runs_that_are_gone_again_and_again_wait_for_an_operator(parts: Parts) -> None:
    parts.start()
    for _ in range(MAX_LOST + 1):
        drive(parts.dispatcher("good"), Step.LEASED)
        parts.run_out()
    assert parts.dispatcher().tick() is Step.IDLE
    job = parts.job()
    assert (job.state, job.attempt) == (JobState.AWAITING_APPROVAL, 0)
    assert job.error is not None
    assert "so it was 11 times" in job.error


@pytest.mark.parametrize(
    ("shared", "step"),
    [
        pytest.param(True, Step.IDLE, id="seen to live in a shared folder: it is left to its host"),
        pytest.param(False, Step.LEASED, id="of which nothing is seen: it counts as gone"),
    ],
)
def test_a_run_on_another_host_is_left_to_it_as_long_as_it_is_seen_to_live(
    parts: Parts, shared: bool, step: Step
) -> None:
    parts.start()
    drive(parts.dispatcher("hang"), Step.WATCHED)
    parts.run_out()
    if not shared:
        (parts.folder / "runs" / "job-1" / "attempt-1" / "beat").unlink()
    assert parts.dispatcher(owner="two", host="there").tick() is step


def test_a_run_that_is_given_back_waits_for_its_own_host_as_long_as_the_lease_would_have(parts: Parts) -> None:
    parts.start()
    leaving = parts.dispatcher("hang")
    drive(leaving, Step.WATCHED)
    leaving.close()
    (parts.folder / "runs" / "job-1" / "attempt-1" / "beat").unlink()
    assert parts.dispatcher(owner="two", host="there").tick() is Step.IDLE
    assert parts.dispatcher(owner="three").tick() is Step.ATTACHED


def test_a_run_whose_job_went_on_without_it_ends_when_its_host_comes_back(parts: Parts) -> None:
    parts.start()
    drive(parts.dispatcher("hang"), Step.WATCHED)
    (pid,) = parts.pids()
    parts.run_out()
    (parts.folder / "runs" / "job-1" / "attempt-1" / "beat").unlink()
    with parts.engine.begin() as connection:  # the host that took over has a disk of its own
        there = {"launcher": "local_process", "host": "there", "folder": "/elsewhere", "token": "t"}
        connection.execute(update(schema.job).values(handle=there, lease_owner="two"))
    parts.dispatcher(owner="three").tick()
    wait_until(lambda: not is_alive(pid))


def test_a_cancelled_job_s_run_is_ended_by_any_dispatcher_on_its_host(parts: Parts) -> None:
    parts.start()
    dispatcher = parts.dispatcher("hang")
    drive(dispatcher, Step.WATCHED)
    (pid,) = parts.pids()
    dispatcher.close()
    parts.service.move_job(1, JobOrder.CANCEL, actor=OPERATOR)
    assert parts.dispatcher(owner="two", host="there").tick() is Step.IDLE
    assert is_alive(pid)
    assert parts.dispatcher(owner="three").tick() is Step.IDLE
    wait_until(lambda: not is_alive(pid))
    with parts.engine.connect() as connection:
        assert connection.execute(select(schema.job.c.handle)).scalar_one() is None


def test_a_dispatcher_that_leaves_lets_its_run_go_on_for_the_next(parts: Parts) -> None:
    parts.start()
    dispatcher = parts.dispatcher("slow")
    drive(dispatcher, Step.WATCHED)
    (pid,) = parts.pids()
    dispatcher.close()
    assert (parts.job().state, parts.job().attempt) == (JobState.RUNNING, 1)
    drive(parts.dispatcher(owner="two"), Step.PROMOTED)
    assert parts.pids() == [pid]
    assert parts.events().count("running") == 3  # started, given back, taken up


def test_a_dispatcher_that_leaves_before_its_run_gives_the_job_back_uncounted(parts: Parts) -> None:
    parts.start()
    dispatcher = parts.dispatcher()
    drive(dispatcher, Step.LEASED)
    dispatcher.close()
    assert (parts.job().state, parts.job().attempt) == (JobState.QUEUED, 0)


def test_leaving_while_the_database_is_away_counts_no_attempt(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_self: LeasedJobs, _lease: Lease, *, seconds: float) -> None:
        raise Unavailable(f"PostgreSQL is away for {seconds} s")

    parts.start()
    for outcome, step in (("good", Step.LEASED), ("slow", Step.WATCHED)):
        dispatcher = parts.dispatcher(outcome, max_attempts=1)
        drive(dispatcher, step)
        with monkeypatch.context() as patch:
            patch.setattr(LeasedJobs, "release", away)
            dispatcher.close()
        parts.run_out()
    drive(parts.dispatcher(owner="two", max_attempts=1), Step.PROMOTED)
    assert parts.job().attempt == 1
