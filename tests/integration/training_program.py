"""Stands in for `python -m retrain`: the same files in and out, and the outcome its first argument names."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from monitor.runs.artifact import Artifact, artifact_sha256, short_version
from monitor.runs.progress import PROGRESS_FILE, RunProgress, write_progress
from monitor.runs.result import RESULT_FILE, Failure, PairMetrics, RewardResult, write_result
from monitor.runs.spec import RunSpec, read_spec

CHAMPION_ACCURACY = 0.7
ACCURACY = {"good": 0.8, "slow": 0.8, "worse": 0.6, "tampered": 0.8}


def main(outcome: str, spec_path: Path) -> None:
    spec = read_spec(spec_path)
    write_progress(spec_path.with_name(PROGRESS_FILE), RunProgress("member 1 of 1", 0, 1))
    if outcome == "hang":
        time.sleep(60)
    if outcome == "slow":
        time.sleep(1.5)
    if outcome == "full":
        sys.exit(3)
    if outcome == "refuse":
        write_result(spec_path.with_name(RESULT_FILE), Failure("no held-out pairs", seconds=0.1))
        sys.exit(2)
    if outcome == "crash":
        sys.exit("CUDA out of memory")
    candidate = train(spec)
    write_result(spec_path.with_name(RESULT_FILE), report(spec, candidate, ACCURACY[outcome]))
    if outcome == "tampered":
        (Path(candidate.path) / "member-0" / "weights").write_text("other bytes")


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
        rescored=None,
        seconds=1.0,
    )


def measured(accuracy: float) -> PairMetrics:
    return PairMetrics(100, accuracy, accuracy - 0.08, accuracy + 0.08, expected_calibration_error=0.05)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[sys.argv.index("--spec") + 1]))
