"""Who takes a job that waits, and which folders go: decided on values alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from monitor.domain.job import Action, Job, JobState
from monitor.retraining.housekeeping import AttemptFolder, decide_removals
from monitor.retraining.launcher import Elsewhere, Run
from monitor.retraining.lease import decide_takeover
from monitor.retraining.records import JobRecord, RunHandle
from monitor.runs.artifact import Artifact
from monitor.runs.result import PairMetrics, RewardResult

NOW = datetime(2026, 11, 1, tzinfo=UTC)
HANDLE = RunHandle("local_process", "here", "/runs/job-1/attempt-2", "token")
LIVE = cast("Run", object())


def record(state: JobState, *, expired: bool = True, handle: RunHandle | None = None, **changes: Any) -> JobRecord:
    result = changes.pop("result", None)
    fields: dict[str, Any] = {"reason": "", "requested_by": "ada", "alarm_id": None, "attempt": 2}
    job = Job(1, Action.REWARD_REFRESH, state, created_at=NOW, updated_at=NOW, **(fields | changes))
    return JobRecord(job, None, result, handle, lease_owner=None, lease_expired=expired, lost=0)


@pytest.mark.parametrize(
    ("waiting", "found", "taken"),
    [
        pytest.param(record(JobState.QUEUED), None, True, id="a queued job"),
        pytest.param(record(JobState.RUNNING, expired=False), LIVE, True, id="given back, its run lives here"),
        pytest.param(record(JobState.RUNNING, expired=False), None, True, id="given back, its run is gone here"),
        pytest.param(record(JobState.RUNNING), Elsewhere(beating=True), False, id="its run lives elsewhere"),
        pytest.param(record(JobState.RUNNING), Elsewhere(beating=False), True, id="nothing is seen of its run"),
        pytest.param(
            record(JobState.RUNNING, expired=False),
            Elsewhere(beating=False),
            False,
            id="given back a moment ago, nothing is seen of its run",
        ),
    ],
)
def test_a_job_is_taken_unless_its_run_belongs_to_another_host(
    waiting: JobRecord, found: Run | Elsewhere | None, taken: bool
) -> None:
    assert decide_takeover(waiting, found) is taken


def candidate(attempt: int) -> RewardResult:
    return RewardResult(
        candidate=Artifact("v2", f"/runs/job-1/attempt-{attempt}/output/candidate", "00"),
        seconds=1.0,
        rescored=None,
        candidate_metrics=PairMetrics(1, 1.0, 0.2, 1.0),
        champion_metrics=None,
        longer_wins_accuracy=None,
        train_pairs=1,
        held_out_pairs=1,
    )


JUDGED: dict[str, Any] = {"result": candidate(2), "candidate_version": "v2"}


@pytest.mark.parametrize(
    ("job", "kept"),
    [
        pytest.param(record(JobState.RUNNING), [2], id="the attempt that runs"),
        pytest.param(record(JobState.QUEUED), [], id="none before the next attempt"),
        pytest.param(record(JobState.AWAITING_APPROVAL), [], id="none while an operator is waited for"),
        pytest.param(record(JobState.FAILED), [], id="none of a job that failed"),
        pytest.param(record(JobState.CANCELLED, handle=HANDLE), [2], id="one whose run is still to be ended"),
        pytest.param(record(JobState.FAILED_GATE, **JUDGED), [2], id="the one with the candidate"),
        pytest.param(None, [1, 2], id="all of a job nobody knows"),
    ],
)
def test_a_folder_goes_unless_it_is_of_use(job: JobRecord | None, kept: list[int]) -> None:
    found = [AttemptFolder(1, number, Path(f"/runs/job-1/attempt-{number}")) for number in (1, 2)]
    removed = decide_removals(found, {1: job} if job is not None else {}, {"v2"})
    assert [folder.attempt for folder in found if folder not in removed] == kept


def test_a_candidate_that_is_no_longer_kept_goes_with_its_folder() -> None:
    found = [AttemptFolder(1, 2, Path("/runs/job-1/attempt-2"))]
    assert decide_removals(found, {1: record(JobState.FAILED_GATE, **JUDGED)}, {"v3"}) == tuple(found)
