"""The demo's chapters about the policy itself: trained, judged by its own answers, announced, and kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from monitor.cli.demo_stage import FOLD_SECONDS, Missed, Stage
from monitor.domain.job import Action, Job, JobState
from monitor.domain.order import Actor, JobOrder, Role
from monitor.domain.release import BakeState

if TYPE_CHECKING:
    from monitor.demo.serving import ServingPlatform

BAKE_SECONDS = 60.0


def tell_policy(stage: Stage, platform: ServingPlatform) -> None:
    """Follow the DPO job that people's verdicts started, to the end of its bake window."""
    stage.heading("12. The policy itself")
    waiting = stage.started_job(Action.DPO)
    stage.ports.jobs.move_job(waiting.job_id, JobOrder.APPROVE, actor=Actor("you", Role.OPERATOR))
    stage.say(f"job {waiting.job_id} waits for an operator, as its rule says; you approve it")
    job = stage.follow(waiting.job_id)
    _tell_gate(stage, job)
    served_as = _hear_promotion(stage, platform, job)
    _bake(stage, job, served_as)


def _tell_gate(stage: Stage, job: Job) -> None:
    stage.heading("13. The gate asks the model")
    if job.verdict is None:
        raise Missed(f"job {job.job_id} is {job.state} without a verdict: {job.error}")
    for check in job.verdict.checks:
        if ":" not in check.name or not check.passed:  # cohorts are in the report
            stage.say(f"{'pass' if check.passed else 'FAIL'}  {check.name}: {check.reason}")
    if job.state is not JobState.PROMOTED:
        raise Missed(f"job {job.job_id} is {job.state}, and was not promoted")


def _hear_promotion(stage: Stage, platform: ServingPlatform, job: Job) -> str:
    """Return the name under which the platform serves the policy from now on."""
    stage.heading("14. A promotion is an event")
    stage.until(lambda: bool(platform.heard), FOLD_SECONDS, "the serving platform to be told")
    told = platform.heard[0]
    served_as = str(told["serve"]["policy_model"])
    stage.say(f"the serving platform heard {told['event']}, signed: serve {told['serve']['version']} as {served_as}")
    return served_as


def _bake(stage: Stage, job: Job, served_as: str) -> None:
    from monitor.demo import script

    stage.heading("15. The bake window")
    stage.say(f"{served_as} answers now; an alarm on one of its first {script.BAKE_TRACES} traces would take it back")
    endless = script.endless_traffic(datetime.now(UTC), served_as, per_second=script.BAKE_PER_SECOND)
    stage.player.trickle(script.TRACES_TOPIC, endless, per_second=script.BAKE_PER_SECOND)

    def ended() -> bool:
        bake = stage.ports.releases.bake(job.job_id)
        return bake is not None and not bake.state.is_open

    stage.until(ended, BAKE_SECONDS, "the bake window to end")
    bake = stage.ports.releases.bake(job.job_id)
    assert bake is not None
    if bake.state is not BakeState.PASSED:
        raise Missed(f"{served_as} was not kept: {bake.state}, {bake.reason}")
    stage.say(f"{bake.traces_seen} traces and no alarm: {served_as} stays")
