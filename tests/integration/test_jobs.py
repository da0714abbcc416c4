"""Jobs on a real PostgreSQL, with real processes: from the order to the champion, and every way it can go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from monitor.domain.baseline import BaselineExtension
from monitor.domain.job import Action, Hold, JobState, Launch, RunProgress
from monitor.domain.order import ORDERS, Actor, JobOrder, Role
from monitor.errors import Conflict, InvalidInput, NotFound
from monitor.postgres import schema
from monitor.postgres.views.jobs import running_progress
from monitor.retraining.dispatcher import Step
from monitor.runs.model import ModelQuery, ModelRole, ModelState
from monitor.runs.result import RunResult
from tests.integration.job_parts import (
    LAUNCH,
    OPERATOR,
    Parts,
    drive,
    prefer,
    wait_until,
)

pytestmark = pytest.mark.postgres


def test_a_job_started_by_hand_trains_passes_the_gate_and_becomes_the_champion(parts: Parts) -> None:
    parts.adopt_champion()
    prefer(parts.engine, "p-1")
    parts.start()
    drive(parts.dispatcher(), Step.PROMOTED)
    job = parts.job()
    assert job.state is JobState.PROMOTED
    assert job.verdict is not None
    assert job.verdict.passed
    assert parts.events() == ["queued", "leased", "running", "evaluating", "passed", "promoted"]
    champion = parts.registry.champion()
    assert champion is not None
    assert champion.version == job.candidate_version == parts.registry.champion_version()
    assert parts.baselines.planned == [champion.version]
    named, previous = parts.registry.models(ModelQuery(), limit=10)
    assert (named.state, previous.state, previous.version) == (ModelState.CHAMPION, ModelState.PREVIOUS, "first")
    assert named.metrics is not None
    assert (named.metrics.accuracy, named.promoted_by, previous.promoted_at) == (0.8, "dispatcher", None)
    assert parts.registry.promoted() == {ModelRole.REWARD: named.promoted_at}
    assert ("ada", "operator", "job.start") in parts.audit()
    assert ("dispatcher", "daemon", "reward_model.promote") in parts.audit()


def test_without_a_champion_the_first_candidate_is_held_against_longer_wins(parts: Parts) -> None:
    parts.start()
    drive(parts.dispatcher(), Step.PROMOTED)
    verdict = parts.job().verdict
    assert verdict is not None
    reasons = {check.name: check.reason for check in verdict.checks}
    assert reasons["better_than_longer_wins"].startswith("accuracy 0.800; more than 0.500 is wanted")
    assert reasons["held_out_accuracy"] == "not judged: there is no champion"
    assert reasons["length_balanced_accuracy"] == "not judged: there is no champion"


def test_a_promotion_that_cannot_plan_its_baseline_does_not_happen(parts: Parts) -> None:
    parts.adopt_champion()
    parts.start()
    drive(parts.dispatcher(promotion="manual"), Step.JUDGED)
    parts.baselines.refusal = RuntimeError("the laws cannot be made")
    with pytest.raises(RuntimeError):
        parts.releases.promote_passed("automatic")
    assert parts.job().state is JobState.PASSED
    assert parts.registry.champion_version() == "first"


def test_a_promotion_the_baseline_refuses_for_good_cancels_the_job(parts: Parts) -> None:
    parts.adopt_champion()
    parts.start()
    drive(parts.dispatcher(promotion="manual"), Step.JUDGED)
    parts.baselines.refusal = InvalidInput("another baseline was frozen")
    assert parts.releases.promote_passed("automatic") == Hold("not_promotable", "another baseline was frozen")
    assert parts.job().state is JobState.CANCELLED
    assert parts.registry.champion_version() == "first"


def test_a_baseline_that_is_replaced_after_the_plan_is_planned_on_again(parts: Parts) -> None:
    def freeze() -> None:
        parts.baselines.between = lambda: None
        frozen = {"created_by": "eve", "note": "", "active": True, "first_place": 0, "stop_place": 1, "content": []}
        with parts.engine.begin() as connection:
            connection.execute(insert(schema.baseline).values(frozen))
        parts.baselines.extension = BaselineExtension(1, 0, ["laws"])

    parts.start()
    drive(parts.dispatcher(promotion="manual"), Step.JUDGED)
    parts.baselines.between = freeze
    parts.service.move_job(1, JobOrder.APPROVE, actor=OPERATOR)
    assert len(parts.baselines.planned) == 2
    with parts.engine.connect() as connection:
        stored = connection.execute(select(schema.baseline.c.content, schema.baseline.c.revision)).one()
    assert tuple(stored) == (["laws"], 1)
    assert parts.events().count("promoted") == 1


def test_nothing_is_locked_while_a_promotion_is_planned(parts: Parts) -> None:
    """The plan reads the candidate's scores and makes laws of them, which may take minutes."""

    def work_elsewhere() -> None:
        with parts.engine.begin() as connection:
            connection.execute(text("set local lock_timeout = '1s'"))
            connection.execute(text("lock table registry, job, baseline in access exclusive mode"))
        with parts.begin() as work:
            work.registry.hold()

    parts.start()
    drive(parts.dispatcher(promotion="manual"), Step.JUDGED)
    parts.baselines.between = work_elsewhere
    assert parts.service.move_job(1, JobOrder.APPROVE, actor=OPERATOR).state is JobState.PROMOTED


def test_manual_promotion_waits_for_an_operator(parts: Parts) -> None:
    parts.start()
    dispatcher = parts.dispatcher(promotion="manual")
    drive(dispatcher, Step.JUDGED)
    assert dispatcher.tick() is Step.IDLE
    assert parts.service.move_job(1, JobOrder.APPROVE, actor=OPERATOR).state is JobState.PROMOTED
    assert parts.registry.champion_version() == parts.job().candidate_version


def test_a_verdict_against_another_champion_promotes_nothing(parts: Parts) -> None:
    parts.start()
    drive(parts.dispatcher(promotion="manual"), Step.JUDGED)
    parts.adopt_champion()
    with pytest.raises(Conflict, match="job 1 was judged against none; the champion is first"):
        parts.service.move_job(1, JobOrder.APPROVE, actor=OPERATOR)
    assert parts.job().state is JobState.PASSED


def test_a_crashing_run_is_tried_again_in_a_new_folder_and_then_fails_by_name(parts: Parts) -> None:
    parts.start()
    dispatcher = parts.dispatcher("crash")
    drive(dispatcher, Step.ATTEMPT_FAILED)
    assert parts.job().state is JobState.QUEUED
    drive(dispatcher, Step.ATTEMPT_FAILED)
    job = parts.job()
    assert (job.state, job.attempt) == (JobState.FAILED, 2)
    assert job.error == "the run ended with exit code 1 and left no result.json; it last said: CUDA out of memory"
    assert list((parts.folder / "runs" / "job-1").iterdir()) == []
    assert "CUDA out of memory" in parts.notes()[-1]


def test_a_candidate_whose_bytes_are_not_the_reported_ones_is_refused(parts: Parts) -> None:
    parts.start()
    drive(parts.dispatcher("tampered", max_attempts=1), Step.ATTEMPT_FAILED)
    job = parts.job()
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.startswith("the candidate's files hash to")
    assert parts.registry.models(ModelQuery(), limit=10) == []


@pytest.mark.parametrize(
    ("outcome", "changes", "error"),
    [
        pytest.param(
            "good", {"base_model": None}, "no base model: wanted retrain.base_model", id="without a base model"
        ),
        pytest.param("refuse", {}, "the run failed: no held-out pairs", id="a spec the run refuses"),
    ],
)
def test_what_no_attempt_can_mend_fails_at_once(
    parts: Parts, outcome: str, changes: dict[str, Any], error: str
) -> None:
    parts.start()
    drive(parts.dispatcher(outcome, **changes), Step.ATTEMPT_FAILED)
    job = parts.job()
    assert (job.state, job.attempt) == (JobState.FAILED, 1)
    assert job.error is not None
    assert job.error.startswith(error)


def test_a_failed_gate_binds_until_an_operator_signs_an_override(parts: Parts) -> None:
    parts.adopt_champion()
    parts.start()
    dispatcher = parts.dispatcher("worse")
    drive(dispatcher, Step.JUDGED)
    assert dispatcher.tick() is Step.IDLE
    assert (parts.job().state, parts.registry.champion_version()) == (JobState.FAILED_GATE, "first")
    for order in JobOrder:
        with pytest.raises(Conflict):
            parts.service.move_job(1, order, actor=OPERATOR)
    with pytest.raises(InvalidInput, match="wanted an operator"):
        parts.service.override(1, "looks fine", actor=Actor("bob", Role.ANNOTATOR))
    with pytest.raises(InvalidInput, match="without a reason"):
        parts.service.override(1, " ", actor=OPERATOR)
    job = parts.service.override(1, "the old pairs are stale", actor=OPERATOR)
    assert job.state is JobState.PROMOTED
    assert parts.registry.champion_version() == job.candidate_version
    with parts.engine.connect() as connection:
        query = select(schema.audit.c.detail).where(schema.audit.c.action == "gate.override")
        signed = connection.execute(query).scalar_one()
    assert job.verdict is not None
    assert signed == {
        "reason": "the old pairs are stale",
        "failed_checks": ["held_out_accuracy"],
        "evidence_sha256": job.verdict.evidence_sha256,
    }


def test_a_candidate_whose_files_cannot_be_read_fails_its_attempt(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_folder: Path, _result: RunResult) -> None:
        raise PermissionError("candidate: permission denied")

    monkeypatch.setattr("monitor.retraining.dispatcher.verify_result", unreadable)
    prefer(parts.engine, "p-1")
    parts.start()
    drive(parts.dispatcher(max_attempts=1), Step.ATTEMPT_FAILED)
    assert parts.job().error == "candidate: permission denied"


def test_a_roll_back_restores_the_champion_before(parts: Parts) -> None:
    parts.adopt_champion()
    parts.start()
    drive(parts.dispatcher(), Step.PROMOTED)
    assert parts.service.move_job(1, JobOrder.ROLLBACK, actor=OPERATOR).state is JobState.ROLLED_BACK
    assert parts.registry.champion_version() == "first"
    assert ("ada", "operator", "reward_model.roll_back") in parts.audit()


def test_only_the_champions_own_job_can_be_rolled_back(parts: Parts) -> None:
    parts.adopt_champion()
    dispatcher = parts.dispatcher()
    for _ in range(2):
        parts.start()
        drive(dispatcher, Step.PROMOTED)
    with pytest.raises(Conflict, match="wanted the job whose candidate is the champion"):
        parts.service.move_job(1, JobOrder.ROLLBACK, actor=OPERATOR)
    parts.service.move_job(2, JobOrder.ROLLBACK, actor=OPERATOR)
    assert parts.registry.champion_version() == parts.job(1).candidate_version
    with pytest.raises(Conflict, match="no champion is kept from before"):
        parts.service.move_job(1, JobOrder.ROLLBACK, actor=OPERATOR)


def test_a_running_job_tells_how_far_it_is_and_cancelling_it_ends_its_run(parts: Parts) -> None:
    parts.start()
    dispatcher = parts.dispatcher("hang")
    drive(dispatcher, Step.WATCHED)
    told = RunProgress("member 1 of 1", 3, 12, loss=0.5, rate=2.0, seconds_left=4.5)
    wait_until(lambda: dispatcher.tick() is Step.WATCHED and parts.job().progress_detail == told)
    assert parts.job().progress == told.line
    assert running_progress(parts.engine) == {Action.REWARD_REFRESH: told}
    parts.service.move_job(1, JobOrder.CANCEL, actor=OPERATOR)
    assert drive(dispatcher, Step.FENCED, Step.WATCHED) is Step.FENCED
    assert dispatcher.tick() is Step.IDLE
    assert parts.job().state is JobState.CANCELLED
    assert running_progress(parts.engine) == {}


def test_a_job_another_transaction_is_taking_is_passed_over_without_waiting(parts: Parts) -> None:
    parts.start()
    dispatcher = parts.dispatcher()
    with parts.engine.begin() as connection:
        connection.execute(select(schema.job).with_for_update())
        assert dispatcher.tick() is Step.IDLE
    assert dispatcher.tick() is Step.LEASED


def test_one_job_of_an_action_can_be_live(parts: Parts) -> None:
    parts.start()
    held = parts.service.launch(LAUNCH, reason="alarm 1", actor="trigger")
    assert isinstance(held, Hold)
    assert held.reason == "job_running"
    with pytest.raises(Conflict, match="reward_refresh: job_running"):
        parts.start()
    parts.service.move_job(1, JobOrder.CANCEL, actor=OPERATOR)
    assert parts.start().state is JobState.QUEUED


def test_an_order_a_state_does_not_allow_changes_nothing(parts: Parts) -> None:
    parts.start()
    refused = [(state, order) for state in JobState for order in JobOrder if order not in ORDERS.get(state, {})]
    for state, order in refused:
        with parts.engine.begin() as connection:
            connection.execute(update(schema.job).values(state=state))
        with pytest.raises(Conflict, match=f"job 1 is {state}; {order} wants one that is"):
            parts.service.move_job(1, order, actor=OPERATOR)
        assert (parts.job().state, len(parts.events())) == (state, 1)


def test_an_unknown_job_is_named(parts: Parts) -> None:
    with pytest.raises(NotFound, match="job 404"):
        parts.service.move_job(404, JobOrder.CANCEL, actor=OPERATOR)
    assert parts.service.job(404) is None


def test_a_job_that_needs_approval_runs_after_it(parts: Parts) -> None:
    parts.service.launch(Launch(Action.REWARD_REFRESH, None, needs_approval=True), reason="alarm", actor="trigger")
    dispatcher = parts.dispatcher()
    assert dispatcher.tick() is Step.IDLE
    assert parts.service.move_job(1, JobOrder.APPROVE, actor=OPERATOR).state is JobState.QUEUED
    assert dispatcher.tick() is Step.LEASED


def test_pairs_are_new_until_a_champion_was_trained_on_them(parts: Parts) -> None:
    prefer(parts.engine, "p-1")
    prefer(parts.engine, "p-2", tie=True)
    assert parts.service.learning_facts(Action.REWARD_REFRESH).new == 1
    parts.start()
    assert parts.service.trigger_facts(Action.REWARD_REFRESH).live_job
    drive(parts.dispatcher(), Step.PROMOTED)
    prefer(parts.engine, "p-3")
    facts = parts.service.trigger_facts(Action.REWARD_REFRESH)
    assert not facts.live_job
    assert parts.service.learning_facts(Action.REWARD_REFRESH).new == 1
    assert facts.last_started == parts.job().created_at
