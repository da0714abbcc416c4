"""Jobs that passed their gate, put there without a run: what a promotion and all after it begin with."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from monitor.domain.job import Action, Check, JobState, Launch, Verdict
from monitor.postgres.work import PostgresTransactions
from monitor.retraining.records import Author, Registration
from monitor.retraining.release import register
from monitor.runs.artifact import Artifact, HashedFile, policy_artifact
from monitor.runs.lineage import Lineage
from monitor.runs.policy import Comparison, PolicyResult, TrainingReport
from monitor.runs.result import PairMetrics, RewardResult, RunResult
from monitor.runs.spec import RunSpec

DAEMON = Author("dispatcher", "daemon")
VERDICT = Verdict(True, (Check("win_rate", True, 0.61, 0.39, 0.03, "0.61 [0.55, 0.67] on 240 prompts"),), "e" * 64)
METRICS = PairMetrics(100, 0.8, 0.72, 0.88, expected_calibration_error=0.05)


def policy_folder(folder: Path, words: str) -> Path:
    """Write what looks like a policy from outside: nothing here loads it."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_text(words)
    return folder


def policy_result(artifact: Artifact, champion: str | None) -> PolicyResult:
    report = TrainingReport(
        method="dpo",
        examples=900,
        by_models=0,
        held_out=120,
        implicit_accuracy=0.66,
        implicit_lower=0.57,
        implicit_upper=0.74,
        accuracy_before=0.5,
    )
    wins = Comparison(
        name="win_rate", cohort=None, items=240, candidate=0.61, champion=0.39, difference=0.11, lower=0.05, upper=0.17
    )
    lineage = Lineage(
        action="dpo",
        base_sha256="b" * 64,
        champion=champion,
        scorer="scorer-1",
        data={"preferences": "d" * 64},
        recipe={"beta": 0.1},
        seeds={"run": 7},
        code_version="1.0",
        libraries={"trl": "0.24"},
        devices="cpu",
    )
    return PolicyResult(
        candidate=artifact,
        seconds=60.0,
        rescored=None,
        lineage=lineage,
        training=report,
        comparisons=(wins,),
        action="dpo",
    )


def reward_result(artifact: Artifact) -> RewardResult:
    return RewardResult(
        candidate=artifact,
        seconds=1.0,
        rescored=None,
        candidate_metrics=METRICS,
        champion_metrics=None,
        longer_wins_accuracy=0.5,
        train_pairs=800,
        held_out_pairs=100,
    )


def passed_job(
    engine: Engine, action: Action, result: RunResult, champion: Artifact | None, verdict: Verdict = VERDICT
) -> int:
    """Store a job that was judged against *champion*; return its number."""
    spec = RunSpec(0, action, "/base", champion, HashedFile("/pairs", "d" * 64, 900), None, {}, 7, "/output")
    launch = Launch(action, alarm_id=None, needs_approval=False)
    state = JobState.PASSED if verdict.passed else JobState.FAILED_GATE
    with PostgresTransactions(engine)() as work:
        record = work.jobs.insert(launch, JobState.QUEUED, reason="by hand", requested_by="ada")
        assert record is not None
        job_id = record.job.job_id
        register(work, Registration.of(result, job_id))
        version = result.candidate.version
        work.jobs.update(
            job_id, state, {"spec": spec, "result": result, "verdict": verdict, "candidate_version": version}
        )
    return job_id


def passed_policy(engine: Engine, folder: Path, words: str, champion: Artifact | None) -> int:
    """Store a policy's job that passed, with a folder of its own; return the job's number."""
    artifact = policy_artifact(policy_folder(folder, words))
    return passed_job(
        engine, Action.DPO, policy_result(artifact, None if champion is None else champion.version), champion
    )
