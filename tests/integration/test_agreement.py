"""How far annotators agree, read from a real PostgreSQL, and what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, insert

from monitor.app.ports import ports_of
from monitor.app.retraining import Agreements, ShowAgreement, job_service_of
from monitor.domain.job import Action, JobState
from monitor.domain.label import PREFERENCE, Label, LabelSource
from monitor.errors import Conflict
from monitor.labels.agreement import AgreementLine, AgreementReport, By
from monitor.postgres import schema
from monitor.postgres.agreement import PostgresAgreement
from monitor.postgres.preferences import PostgresPreferences
from monitor.retraining.records import RaterFacts
from monitor.settings.root import Settings
from monitor.telemetry.health import Health
from monitor.telemetry.labels import LabelMetrics
from monitor.web.app import create_app
from tests.commands import Run
from tests.integration.job_parts import OPERATOR, prefer
from tests.integration.preference_parts import answered, label, store_labels, store_traces

pytestmark = pytest.mark.postgres
NOW = datetime.now(UTC)
JUDGED = 60
HOSTILE = "ada\x1b[31m<img src=x>\u202e"


@pytest.fixture
def settings(postgres_url: str) -> Settings:
    rule = {"signals": ["reward"], "action": "reward_refresh"}
    return Settings.model_validate({"postgres": {"url": postgres_url}, "retrain": {"rules": [rule]}})


@pytest.fixture
def doubtful(engine: Engine) -> Engine:
    """Two annotators who agree on half of sixty pairs, one of whom is new."""
    store_traces(engine, [answered(number) for number in range(JUDGED)])
    store_labels(engine, *judged("bo", lambda number: 1.0), *judged(HOSTILE, lambda number: float(number % 2)))
    store_labels(engine, *judged("chi", lambda number: 1.0, days=40.0, kind="refusal"))
    prefer(engine, "p-old", annotator_id="bo", timestamp=NOW - timedelta(days=40))
    PostgresPreferences(engine).read_new()
    return engine


def judged(annotator: str, value: Callable[[int], float], *, days: float = 1.0, kind: str = PREFERENCE) -> list[Label]:
    usual = {"timestamp": NOW - timedelta(days=days), "kind": kind, "criteria_version": "2"}
    given = [label(number, value(number), annotator=annotator, **usual) for number in range(JUDGED)]
    return given if kind == PREFERENCE else [replace(one, label_id=f"{kind} {one.label_id}") for one in given]


def read(engine: Engine, criteria_version: str | None = None) -> AgreementReport:
    return PostgresAgreement(engine, criteria_version).agreement(NOW)


def whole(report: AgreementReport, kind: str = "preference") -> AgreementLine:
    (line,) = [one for one in report.lines if (one.kind, one.by) == (kind, By.ALL)]
    return line


def test_events_and_labels_on_the_same_two_answers_are_held_against_each_other(engine: Engine) -> None:
    store_traces(engine, [answered(1), answered(2)])
    store_labels(engine, label(1), label(2), label(2, source=LabelSource.AI, annotator="gpt"))
    for number, chosen in ((1, "ours"), (2, "theirs")):
        rejected = "theirs" if chosen == "ours" else "ours"
        asked = [{"role": "user", "content": f"question {number}"}]
        told = {"messages": asked, "chosen": f"{chosen} {number}", "rejected": f"{rejected} {number}"}
        prefer(engine, f"p-{number}", annotator_id="bo", **told)
    PostgresPreferences(engine).read_new()

    found = whole(read(engine)).raw

    assert found is not None
    assert (found.value, found.items, found.annotators) == (0.5, 2, 2)


def test_the_criteria_of_now_are_the_settings_the_queue_s_or_the_latest(doubtful: Engine) -> None:
    assert read(doubtful).criteria_version == "2"
    with doubtful.begin() as connection:
        row = {"version": "3", "text": "which is better?", "active": True, "created_by": "ada"}
        connection.execute(insert(schema.criteria).values(row))
    assert (read(doubtful).criteria_version, read(doubtful).current) == ("3", None)
    stated = read(doubtful, "2")
    assert stated.current is not None
    assert stated.current.ratings == 2 * JUDGED


def test_answers_of_the_review_page_tell_what_sways_annotators(engine: Engine) -> None:
    item = {"kind": "preference", "probability": 1.0, "counted": True, "reason": "gold", "wanted": 1, "gold": 1.0}
    answers = [("ada", 1.0, True, None), ("ada", 0.0, False, None), ("bo", 0.5, True, None), ("bo", 0.0, True, NOW)]
    with engine.begin() as connection:
        for number, (annotator, value, first, undone_at) in enumerate(answers):
            given = insert(schema.review_item).values(item | {"trace_id": f"t-{number}"})
            item_id = connection.execute(given.returning(schema.review_item.c.item_id)).scalar_one()
            row = {"item_id": item_id, "annotator_id": annotator, "answer": "label", "value": value}
            row |= {"policy_first": first, "dimensions": {}, "undone_at": undone_at}
            connection.execute(insert(schema.review_verdict).values(row))

    everybody, ada, bo = read(engine).checks

    assert everybody.agreed_with_gold is not None
    assert everybody.agreed_with_gold.value == pytest.approx(1 / 3)
    assert everybody.agreed_with_gold.count == 3
    assert ada.chose_first is not None
    assert (ada.chose_first.value, bo.chose_first) == (1.0, None)


def test_a_start_by_hand_is_held_by_what_holds_a_rule_unless_it_is_forced(doubtful: Engine, settings: Settings) -> None:
    service = job_service_of(doubtful, settings)
    raw = r"low_agreement: kappa 0\.\d+ \[.*\] on 60 pairs by criteria 2; wanted 0\.6: .*; it can be forced"

    with pytest.raises(Conflict, match=raw):
        service.start_job(Action.REWARD_REFRESH, "by hand", actor=OPERATOR)

    forced = service.start_job(Action.REWARD_REFRESH, "by hand", actor=OPERATOR, force=True)
    assert forced.state is JobState.QUEUED


def test_annotators_who_do_not_agree_on_refusals_hold_the_refresh_of_the_refusal_model_alone(
    engine: Engine, settings: Settings
) -> None:
    ada = judged("ada", lambda number: float(number % 2), kind="refusal")
    bo = judged("bo", lambda number: float(number % 3 == 0), kind="refusal")
    store_labels(engine, *ada, *bo)
    service = job_service_of(engine, settings)
    held = service.learning_facts(Action.REFUSAL_REFRESH).raters
    assert held.kappa is not None
    assert held.kappa.items == JUDGED
    with pytest.raises(Conflict, match=r"low_agreement: kappa .* on 60 answers by criteria 2; wanted 0\.6"):
        service.start_job(Action.REFUSAL_REFRESH, "by hand", actor=OPERATOR)
    assert service.learning_facts(Action.KTO).raters == RaterFacts()
    assert service.start_job(Action.REWARD_REFRESH, "by hand", actor=OPERATOR).state is JobState.QUEUED


def test_a_month_of_other_annotators_holds_where_they_agree(engine: Engine, settings: Settings) -> None:
    store_traces(engine, [answered(number) for number in range(2 * JUDGED)])
    before = [replace(label(number, annotator="ada"), timestamp=NOW - timedelta(days=45)) for number in range(JUDGED)]
    since = [replace(label(number, annotator="bo"), timestamp=NOW) for number in range(JUDGED, 2 * JUDGED)]
    store_labels(engine, *before, *since)
    PostgresPreferences(engine).read_new()

    with pytest.raises(Conflict, match="rater_turnover: 100% of 60 preferences of 30 days"):
        job_service_of(engine, settings).start_job(Action.REWARD_REFRESH, "by hand", actor=OPERATOR)


def test_the_commands_tell_who_agrees_and_what_holds(run: Run, doubtful: Engine, postgres_url: str) -> None:
    shown = run("review", "agreement", POSTGRES__URL=postgres_url)
    told = json.loads(run("review", "agreement", "--json").out)
    held = run("jobs", "start", "reward_refresh", "--reason", "by hand")
    forced = run("jobs", "start", "reward_refresh", "--reason", "by hand", "--force")

    assert (shown.code, held.code, forced.code) == (0, 1, 0)
    assert "\x1b" not in shown.out + shown.err
    assert "<img src=x>" in shown.out, "text stays text"
    assert {(line["kind"], line["by"]) for line in told["lines"]} >= set(product(["preference", "refusal"], ["all"]))
    assert "low_agreement" in held.err


def test_the_plan_shows_what_each_rule_would_do(
    run: Run, engine: Engine, settings: Settings, postgres_url: str
) -> None:
    (planned,) = job_service_of(engine, settings).plan()
    assert (planned.rule, planned.action, planned.decision) == ("alert on reward", "reward_refresh", "no_alarm")
    nothing = run("jobs", "plan", POSTGRES__URL=postgres_url)
    assert "nothing starts a job by itself" in nothing.out
    cron = run("jobs", "plan", "--json", RETRAIN__REFRESH_CRON="0 3 * * *")
    assert [one["decision"] for one in json.loads(cron.out)] == ["not_due"]
    wrong = run("jobs", "plan", RETRAIN__PERIODIC='[{"cron": "0 3 * * 9"}]')
    assert (wrong.code, "retrain.periodic[0].cron = '0 3 * * 9'" in wrong.err) == (2, True)


def test_the_api_tells_the_same(doubtful: Engine, settings: Settings) -> None:
    registry = CollectorRegistry()
    app = create_app(ports_of(doubtful, settings), health=Health(()), registry=registry, tokens={})
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 5000)) as client:
        told = client.get("/api/v1/review/agreement").json()
        planned = client.get("/api/v1/jobs/plan").json()
    assert told["current"]["kappa"]["items"] == JUDGED
    assert told["turnover"]["labels"] == 2 * JUDGED
    assert [one["decision"] for one in planned] == ["no_alarm"]


def test_metrics_show_the_measures_and_no_name(doubtful: Engine) -> None:
    registry = CollectorRegistry()
    agreements = Agreements(PostgresAgreement(doubtful, None).agreement)
    ShowAgreement(agreements.report, LabelMetrics(registry))()

    assert registry.get_sample_value("monitor_label_agreement", {"measure": "raw"}) == 0.5
    assert registry.get_sample_value("monitor_label_agreement_items") == JUDGED
    assert registry.get_sample_value("monitor_annotator_turnover_ratio") == 0.5
    labels = {value for family in registry.collect() for sample in family.samples for value in sample.labels.values()}
    assert not labels & {"bo", HOSTILE}


def test_what_took_long_to_read_is_read_again_only_after_long() -> None:
    now, reads = [0.0], []

    def read(at: datetime) -> AgreementReport:
        reads.append(at)
        now[0] += 1.0
        return AgreementReport((), (), None, None, None)

    agreements = Agreements(read, clock=lambda: now[0])
    for now[0] in (0.0, 20.0, 21.0, 41.0):
        agreements.report()
    assert len(reads) == 2
