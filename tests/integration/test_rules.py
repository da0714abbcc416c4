"""What rules and the calendar rest on, from a real PostgreSQL: what runs took, thumbs, and since when a line counts."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from monitor.domain.job import Action, JobState
from monitor.domain.label import RATING, LabelSource
from monitor.domain.order import JobOrder
from monitor.errors import Conflict
from monitor.retraining.budget import gpu_hours
from monitor.retraining.dispatcher import Step
from monitor.retraining.records import Registration
from monitor.runs.policy import POLICY
from monitor.settings.retrain import BudgetSettings, PeriodicRule, TriggerRule
from tests.integration.job_parts import OPERATOR, Parts, drive, prefer
from tests.integration.preference_parts import answered, label, store_labels, store_traces

pytestmark = pytest.mark.postgres
WEEKLY = "0 3 * * sun"


def test_what_failed_cancelled_and_running_runs_took_is_counted_and_a_spent_budget_holds(parts: Parts) -> None:
    parts.start()
    crashing = parts.dispatcher("crash")
    drive(crashing, Step.ATTEMPT_FAILED)
    drive(crashing, Step.ATTEMPT_FAILED)
    assert parts.job().state is JobState.FAILED
    parts.start()
    hanging = parts.dispatcher("hang", owner="two")
    drive(hanging, Step.WATCHED)

    now = datetime.now(UTC)
    *failed, running = sorted(
        parts.service.trigger_facts(Action.DPO).runs, key=lambda run: run.ended_at or datetime.max.replace(tzinfo=UTC)
    )
    assert (len(failed), running.ended_at) == (2, None)
    with parts.engine.connect() as connection:
        steps = connection.execute(text("select state, at from job_event where job_id = 1 order by job_event_id")).all()
    began = [step.at for step in steps if step.state == "running"]
    ended = [after.at for step, after in itertools.pairwise(steps) if step.state == "running"]
    assert [(run.started_at, run.ended_at) for run in failed] == list(zip(began, ended, strict=True))
    lasted = sum((stop - start for start, stop in zip(began, ended, strict=True)), now - running.started_at)
    assert gpu_hours([*failed, running], gpus=2, now=now) == pytest.approx(2 * lasted / timedelta(hours=1))
    both = parts.ruled_by(budget=BudgetSettings(gpus_a_run=2))
    assert both.gpu_hours() == pytest.approx(2 * lasted / timedelta(hours=1), abs=2 * 60 / 3600)
    assert both.gpu_hours() > 2 * lasted / timedelta(hours=1), "the run under way goes on"

    parts.service.move_job(2, JobOrder.CANCEL, actor=OPERATOR)
    drive(hanging, Step.FENCED)
    assert all(run.ended_at for run in parts.service.trigger_facts(Action.DPO).runs)
    poor = parts.ruled_by(budget=BudgetSettings(gpu_hours_a_week=1e-6, gpus_a_run=2))
    with pytest.raises(Conflict, match=r"reward_refresh: budget: 0\.0 GPU hours in seven days; .*it can be forced"):
        poor.start_job(Action.REWARD_REFRESH, "now", actor=OPERATOR)
    assert poor.start_job(Action.REWARD_REFRESH, "now", actor=OPERATOR, force=True).state is JobState.QUEUED


def test_runs_of_more_than_a_week_ago_are_forgotten_unless_they_go_on(parts: Parts) -> None:
    parts.start()
    drive(parts.dispatcher("crash", max_attempts=1), Step.ATTEMPT_FAILED)
    with parts.engine.begin() as connection:
        connection.execute(text("update job_event set at = at - interval '8 days'"))
        connection.execute(text("update job set updated_at = updated_at - interval '8 days'"))
    assert parts.service.trigger_facts(Action.DPO).runs == ()
    with parts.engine.begin() as connection:
        connection.execute(text("delete from job_event where state in ('queued', 'failed')"))
        connection.execute(text("update job set state = 'running'"))
    [run] = parts.service.trigger_facts(Action.DPO).runs
    assert gpu_hours([run], gpus=1, now=datetime.now(UTC)) == pytest.approx(168)


def test_thumbs_count_for_kto_those_of_traces_and_labels_since_the_champions_training(parts: Parts) -> None:
    def thumbs() -> int:
        learning = parts.service.learning_facts(Action.KTO)
        assert learning.what == "answers with a thumb"
        return learning.new

    prefer(parts.engine, "p-1")
    assert thumbs() == 0
    ratings = 1.0, -1.0, 0.0, None, 1.0
    store_traces(parts.engine, [answered(number, feedback_rating=rating) for number, rating in enumerate(ratings)])
    by_user = {"kind": RATING, "source": LabelSource.USER}
    store_labels(parts.engine, label(3, 0.0, **by_user), label(4, 1.0, **by_user), label(99, 1.0, **by_user))
    store_labels(parts.engine, label(2, 0.5, **by_user))
    assert thumbs() == 4, "the traces 0, 1 and 4, and the label on 3; 99 is no trace, 2 is neither up nor down"

    with parts.begin() as work:
        artifact = parts.adopt_champion()
        work.registry.register(Registration(artifact=artifact.__class__("one", artifact.path, "c" * 64), role=POLICY))
    with parts.engine.begin() as connection:
        connection.execute(text("insert into registry (role, version, promoted_by) values ('policy', 'one', 'ada')"))
    assert thumbs() == 0
    store_labels(parts.engine, label(1, 1.0, **by_user))
    store_traces(parts.engine, [answered(6, feedback_rating=1.0)], start=5)
    assert thumbs() == 2


def test_a_policy_s_actions_are_held_until_there_is_one_and_a_judge_for_it(parts: Parts) -> None:
    rules = [TriggerRule(signals=("refusal",), action=action) for action in (Action.DPO, Action.KTO)]
    assert {one.decision for one in parts.ruled_by(rules=rules).plan()} == {"no_policy"}
    with pytest.raises(Conflict, match=r"dpo: no_policy: .*retrain\.policy\.model"):
        parts.service.start_job(Action.DPO, "by hand", actor=OPERATOR, force=True)
    lacking = {offer.action: offer.lacks and offer.lacks.reason for offer in parts.service.offers()}
    assert lacking == {
        Action.REWARD_REFRESH: None,
        Action.DPO: "no_policy",
        Action.KTO: "no_policy",
        Action.REFUSAL_REFRESH: "no_weights",
    }
    named = parts.ruled_by(rules=rules, policy={"model": parts.folder})
    assert {one.decision for one in named.plan()} == {"no_scorer"}
    parts.adopt_champion()
    assert {one.decision for one in named.plan()} == {"no_alarm"}
    assert named.start_job(Action.DPO, "by hand", actor=OPERATOR).state is JobState.QUEUED


def test_a_line_of_the_calendar_counts_from_its_first_leader_and_starts_one_job_for_all_it_missed(parts: Parts) -> None:
    prefer(parts.engine, "p-1")
    jobs = parts.ruled_by(refresh_cron=WEEKLY, periodic=[PeriodicRule(cron="0 4 * * *", action=Action.DPO)])
    assert [one.decision for one in jobs.plan()] == ["not_due", "no_policy"]
    jobs.follow_calendar()
    with parts.engine.begin() as connection:
        connection.execute(text("update calendar set since = since - interval '30 days'"))
    parts.ruled_by(refresh_cron=WEEKLY).follow_calendar()  # the next leader's
    refresh, _ = jobs.start_due()
    assert (refresh.rule, refresh.decision) == (f"retrain.refresh_cron {WEEKLY}", "launch")
    assert (parts.job().requested_by, parts.job().state) == ("schedule", JobState.QUEUED)
    assert parts.job().reason == f"periodic reward_refresh ({WEEKLY}), 1 new preference pairs"
    parts.service.move_job(1, JobOrder.CANCEL, actor=OPERATOR)
    refresh, _ = jobs.start_due()
    assert (refresh.decision, refresh.until is not None) == ("not_due", True)
