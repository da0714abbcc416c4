"""Stands in for `python -m retrain`: the same files in and out, and the outcome its first argument names."""

from __future__ import annotations

import json
import random
import sys
import time
from contextlib import suppress
from pathlib import Path

from monitor.runs.artifact import Artifact, HashedFile, artifact_sha256, file_sha256, short_version
from monitor.runs.progress import PROGRESS_FILE, RunProgress, write_progress
from monitor.runs.result import RESULT_FILE, ExitCode, Failure, PairMetrics, RewardResult, write_result
from monitor.runs.spec import RunSpec, read_spec
from retrain.__main__ import is_disk_full, leave

CHAMPION_ACCURACY = 0.7
ACCURACY = {"good": 0.8, "resume": 0.8, "slow": 0.8, "worse": 0.6, "tampered": 0.8}


def main(outcome: str, spec_path: Path) -> None:
    spec = read_spec(spec_path)
    with (Path(spec.base_model).parent / "starts").open("a") as starts:
        starts.write(f"{spec_path}\n")
    told = RunProgress("member 1 of 1", 3, 12, loss=0.5, rate=2.0, seconds_left=4.5)
    write_progress(spec_path.with_name(PROGRESS_FILE), told)
    if outcome == "hang":
        time.sleep(60)
    if outcome == "slow":
        time.sleep(1.5)
    if outcome == "resume":
        resume(spec, spec_path)
    if outcome == "fill":
        fill(Path(spec.output))
    if outcome == "refuse":
        write_result(spec_path.with_name(RESULT_FILE), Failure("no held-out pairs", seconds=0.1))
        sys.exit(2)
    if outcome == "crash":
        sys.exit("CUDA out of memory")
    candidate = train(spec)
    write_result(spec_path.with_name(RESULT_FILE), report(spec, candidate, ACCURACY[outcome]))
    if outcome == "tampered":
        (Path(candidate.path) / "member-0" / "weights").write_text("other bytes")


def resume(spec: RunSpec, spec_path: Path) -> None:
    """Go on from the checkpoint of a run before; without one, leave one and never end."""
    assert spec.checkpoints is not None
    checkpoint = Path(spec.checkpoints) / "checkpoint-7" / "state.json"
    if checkpoint.exists():
        print(f"resumed from {checkpoint.parent.name}", flush=True)
        return
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("{}")
    write_progress(spec_path.with_name(PROGRESS_FILE), RunProgress("step 7 of 9", 7, 9))
    time.sleep(120)


def fill(output: Path) -> None:
    """Write until the disk is full, and end as `python -m retrain` does."""
    output.mkdir(parents=True)
    try:
        with (output / "checkpoint").open("wb") as file:
            while True:
                file.write(b"0" * 65_536)
    except OSError as error:
        with suppress(OSError):
            sys.stderr.write(f"retrain: {error}\n")
        leave(ExitCode.NO_ROOM if is_disk_full(error) else ExitCode.FAILED)


def train(spec: RunSpec) -> Artifact:
    folder = Path(spec.output) / "candidate"
    (folder / "member-0").mkdir(parents=True)
    (folder / "member-0" / "weights").write_text(f"trained for job {spec.job_id} on {spec.preferences.sha256}")
    sha256 = artifact_sha256(folder)
    return Artifact(short_version(sha256), str(folder), sha256)


def report(spec: RunSpec, candidate: Artifact, accuracy: float) -> RewardResult:
    champion = measured(CHAMPION_ACCURACY) if spec.champion is not None else None
    return RewardResult(
        candidate=candidate,
        candidate_metrics=measured(accuracy),
        champion_metrics=champion,
        longer_wins_accuracy=0.5,
        train_pairs=spec.preferences.rows,
        held_out_pairs=100,
        rescored=rescored(spec),
        seconds=1.0,
    )


def rescored(spec: RunSpec) -> HashedFile | None:
    """Score the baseline's traces, if there are any, by a fixed draw about 0."""
    if spec.rescore is None:
        return None
    draw = random.Random(5)
    given = Path(spec.rescore.path).read_text(encoding="utf-8").splitlines()
    rows = [{"index": json.loads(row)["index"], "mean": draw.gauss(0.0, 1.0), "disagreement": 0.1} for row in given]
    path = Path(spec.output) / "rescored.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return HashedFile(str(path), file_sha256(path), len(rows))


def measured(accuracy: float) -> PairMetrics:
    return PairMetrics(100, accuracy, accuracy - 0.08, accuracy + 0.08, expected_calibration_error=0.05)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[sys.argv.index("--spec") + 1]))
