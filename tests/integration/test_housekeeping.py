"""What ended attempts leave, on a disk that is really full, and what is kept of candidates."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from monitor.domain.job import JobState
from monitor.domain.order import JobOrder
from monitor.errors import Conflict
from monitor.postgres import schema
from monitor.retraining.dispatcher import Step
from monitor.runs.model import ModelPlace, ModelQuery, ModelState
from monitor.runs.spec import read_spec
from tests.integration.job_parts import OPERATOR, Parts, drive, prefer
from tests.real_kafka import in_ci

pytestmark = pytest.mark.postgres


@pytest.fixture
def small_disk(parts: Parts) -> Iterator[Path]:
    """A file system of 2 MB where the runs' folders are."""
    folder = parts.folder / "runs"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if mount.returncode != 0:
        assert not in_ci(), f"CI wants a disk that can be full: {mount.stderr}"
        pytest.skip(f"no disk can be mounted here: {mount.stderr.strip()}")
    yield folder
    parts.end_runs()
    subprocess.run(["umount", "-l", str(folder)], check=True)


def attempts(parts: Parts) -> list[str]:
    runs = parts.folder / "runs"
    return sorted(path.relative_to(runs).as_posix() for path in runs.glob("job-*/attempt-*"))


def test_a_run_that_fills_the_disk_waits_for_an_operator_and_leaves_room(parts: Parts, small_disk: Path) -> None:
    parts.start()
    drive(parts.dispatcher("fill"), Step.HELD)
    job = parts.job()
    assert (job.state, job.attempt) == (JobState.AWAITING_APPROVAL, 0)
    assert job.error is not None
    assert job.error.startswith("the disk is full: ")
    assert shutil.disk_usage(small_disk).free > 1_500_000
    dispatcher = parts.dispatcher()
    assert dispatcher.tick() is Step.IDLE
    parts.service.move_job(1, JobOrder.APPROVE, actor=OPERATOR)
    drive(dispatcher, Step.PROMOTED)
    assert parts.job().attempt == 1


def test_a_disk_that_is_full_before_the_run_burns_no_attempt(parts: Parts, small_disk: Path) -> None:
    for number in range(20):
        prefer(parts.engine, f"p-{number}", chosen="x" * 20_000)
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "ballast").write_bytes(b"0" * 3_000_000)
    parts.start()
    assert drive(parts.dispatcher(), Step.HELD, Step.ATTEMPT_FAILED) is Step.HELD
    assert (parts.job().state, parts.job().attempt) == (JobState.AWAITING_APPROVAL, 0)
    assert attempts(parts) == []
    (small_disk / "ballast").unlink()
    parts.service.move_job(1, JobOrder.APPROVE, actor=OPERATOR)
    drive(parts.dispatcher(), Step.PROMOTED)


def test_what_a_failed_attempt_left_is_removed_and_its_last_words_are_kept(parts: Parts) -> None:
    parts.start()
    dispatcher = parts.dispatcher("crash", max_attempts=2)
    drive(dispatcher, Step.ATTEMPT_FAILED)
    assert attempts(parts) == []
    assert "CUDA out of memory" in parts.notes()[-1]


def test_the_next_attempt_is_given_the_same_pairs_as_long_as_the_champion_is_the_same(parts: Parts) -> None:
    prefer(parts.engine, "p-first")
    parts.start()
    drive(parts.dispatcher("crash"), Step.ATTEMPT_FAILED)
    inputs, checkpoints = parts.folder / "runs/job-1/inputs", parts.folder / "runs/job-1/checkpoints"
    checkpoints.mkdir()
    prefer(parts.engine, "p-second")
    drive(parts.dispatcher("hang"), Step.STARTED)
    again = read_spec(parts.folder / "runs/job-1/attempt-2/spec.json")
    assert (again.preferences.rows, again.checkpoints) == (1, str(checkpoints))
    parts.end_runs()
    parts.run_out()
    parts.adopt_champion()
    drive(parts.dispatcher("hang"), Step.STARTED)
    assert read_spec(parts.folder / "runs/job-1/attempt-2/spec.json").preferences.rows == 2
    assert checkpoints.is_dir(), "the run itself says what its checkpoints are worth"
    parts.service.move_job(1, JobOrder.CANCEL, actor=OPERATOR)
    drive(parts.dispatcher(), Step.IDLE)
    parts.start()
    drive(parts.dispatcher("hang"), Step.STARTED)
    assert not inputs.exists()
    assert not checkpoints.exists()


def test_candidates_beyond_those_that_are_kept_are_removed_with_their_registration(parts: Parts) -> None:
    parts.adopt_champion()
    dispatcher = parts.dispatcher("worse", keep_candidates=2)
    for number in range(4):
        prefer(parts.engine, f"p-{number}")  # other pairs, other bytes
        parts.start()
        drive(dispatcher, Step.JUDGED)
    assert attempts(parts) == ["job-3/attempt-1", "job-4/attempt-1"]
    candidates = ModelQuery(states=frozenset({ModelState.CANDIDATE}))
    (newest,) = parts.registry.models(candidates, limit=1)
    (older,) = parts.registry.models(candidates, limit=9, before=ModelPlace.of(newest))
    assert (newest.version, older.version) == (parts.job(4).candidate_version, parts.job(3).candidate_version)
    (champion,) = parts.registry.models(ModelQuery(), limit=9, before=ModelPlace.of(older))
    assert champion.state is ModelState.CHAMPION
    with pytest.raises(Conflict, match=r"were removed, as retrain\.keep_candidates says"):
        parts.service.override(1, "the old pairs are stale", actor=OPERATOR)
    assert parts.service.override(3, "the old pairs are stale", actor=OPERATOR).state is JobState.PROMOTED


def test_the_champion_and_the_one_before_it_are_kept_whatever_comes_after(parts: Parts) -> None:
    dispatcher = parts.dispatcher(keep_candidates=0)
    for number in range(3):
        prefer(parts.engine, f"p-{number}")
        parts.start()
        drive(dispatcher, Step.PROMOTED)
    parts.start()
    drive(parts.dispatcher("crash", max_attempts=1, keep_candidates=0), Step.ATTEMPT_FAILED)
    assert attempts(parts) == ["job-2/attempt-1", "job-3/attempt-1"]
    parts.service.move_job(3, JobOrder.ROLLBACK, actor=OPERATOR)
    champion = parts.registry.champion()
    assert champion is not None
    assert Path(champion.path).is_dir()


def test_a_candidate_that_waits_for_its_promotion_is_kept(parts: Parts) -> None:
    parts.start()
    dispatcher = parts.dispatcher(promotion="manual", keep_candidates=0)
    drive(dispatcher, Step.JUDGED)
    assert attempts(parts) == ["job-1/attempt-1"]


def test_the_folders_of_another_database_s_jobs_are_left_alone(parts: Parts) -> None:
    stranger = parts.folder / "runs" / "job-77" / "attempt-1"
    stranger.mkdir(parents=True)
    parts.start()
    drive(parts.dispatcher(), Step.PROMOTED)
    assert stranger.is_dir()


# A promoted job as the first release stored it: no action in the result, no handle, a number that is none as a word.
_ARTIFACT = {"version": "v2", "path": "/models/v2", "sha256": "00"}
_METRICS = {"pairs": 100, "accuracy": 0.8, "accuracy_lower": 0.72, "accuracy_upper": 0.88, "temperature": None}
FIRST_RELEASE = {
    "state": "promoted",
    "attempt": 1,
    "candidate_version": "v2",
    "spec": {
        "job_id": 1, "action": "reward_refresh", "base_model": "/models/base",
        "champion": _ARTIFACT | {"version": "first"},
        "preferences": {"path": "/run/preferences.jsonl", "sha256": "00", "rows": 5}, "rescore": None,
        "recipe": {"name": "reward"}, "seed": 1, "output": "/run/output", "scored_tokens": 512,
    },
    "result": {
        "status": "succeeded", "error": None, "candidate": _ARTIFACT, "candidate_metrics": _METRICS,
        "champion_metrics": None, "longer_wins_accuracy": 0.5, "train_pairs": 5, "held_out_pairs": 1,
        "rescored": None, "seconds": 1.5,
    },
    "verdict": {
        "passed": True, "evidence_sha256": "00",
        "checks": [
            {"name": "c", "passed": True, "candidate": "nan", "champion": None, "margin": 0.0, "reason": "not judged"}
        ],
    },
}  # fmt: skip


def test_a_job_the_first_release_promoted_is_shown_and_can_be_rolled_back(parts: Parts) -> None:
    parts.adopt_champion()
    parts.start()
    with parts.engine.begin() as connection:
        model = {"version": "v2", "path": "/models/v2", "sha256": "00", "job_id": 1, "metrics": _METRICS}
        connection.execute(schema.reward_model.insert().values(model))
        connection.execute(update(schema.job).values(FIRST_RELEASE))
        connection.execute(update(schema.registry).values(version="v2", previous_version="first"))
    detail = parts.service.job(1)
    assert detail is not None
    assert detail.job.verdict is not None
    assert detail.job.verdict.passed
    assert parts.service.move_job(1, JobOrder.ROLLBACK, actor=OPERATOR).state is JobState.ROLLED_BACK
    assert parts.registry.champion_version() == "first"
