"""What the leader does for the queue: the plan, the examples of alarms, and what nobody can judge any more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text

from monitor.app.review import PATIENCE, PlanReview, TidyReview, selection_of
from monitor.domain.label import PREFERENCE
from monitor.domain.observation import LogEntry
from monitor.domain.order import Actor, Role
from monitor.domain.review import Answer, AnswerGiven, Selection
from monitor.domain.score import Reward
from monitor.errors import Conflict, NotFound
from monitor.observe.gather import ObservedTrace, gather
from monitor.postgres.engine import transaction
from monitor.postgres.log import append_entry, place_entries
from monitor.postgres.review_items import PostgresReviewItems
from monitor.settings.labels import ReviewSettings
from monitor.telemetry.labels import LabelMetrics
from tests.integration.reviewing import DRAWN, judged_trace, label, queue_of, rows_of, store_items

pytestmark = pytest.mark.postgres
ADA = Actor("ada", Role.OPERATOR)
TRACES = [f"t-{number}" for number in range(4, 11)]
SETTINGS = ReviewSettings(daily_budget=40)


def entry_of(first: int, count: int) -> LogEntry:
    items = [
        ObservedTrace(
            judged_trace(number),
            "a",
            number % 2 == 1,
            Reward("v1", (0.0, 1.0), 0.5, 0.0, number / count),
            () if number % 2 else (Selection(PREFERENCE, 0.01, 0.01, selected=False),),
        )
        for number in range(first, first + count)
    ]
    return gather(items)


def append(engine: Engine, entry: LogEntry) -> None:
    with transaction(engine) as connection:
        append_entry(connection, entry)
    with transaction(engine) as connection:
        place_entries(connection)


def tidy(engine: Engine, settings: ReviewSettings = SETTINGS) -> CollectorRegistry:
    registry = CollectorRegistry()
    TidyReview(engine, settings, LabelMetrics(registry))()
    return registry


def test_the_plan_follows_the_traffic_and_is_written_only_where_it_changes(engine: Engine) -> None:
    duty = PlanReview(engine, SETTINGS)
    duty()
    assert [row[0]["least"] for row in rows_of(engine, "review_plan", "content")] == [0.01]
    append(engine, entry_of(0, 1000))  # 500 of them could be labelled: 72,000 a day, if it goes on
    duty()
    duty()
    PlanReview(engine, SETTINGS)()
    (_, busy) = [row[0] for row in rows_of(engine, "review_plan", "content")]
    assert busy["least"] == busy["disputed"] <= 40 / 72_000 < 1.3 * busy["least"]
    assert selection_of(engine, SETTINGS).plan().least == busy["least"]


def test_what_is_disputed_is_told_from_the_traces_that_could_be_labelled(engine: Engine) -> None:
    append(engine, entry_of(0, 1000))
    PlanReview(engine, replace_budget(100_000))()
    ((plan,),) = rows_of(engine, "review_plan", "content")
    assert plan["disputed"] == 0.05
    assert plan["disagreement_above"] == pytest.approx(0.9, abs=0.01)


def replace_budget(items: int) -> ReviewSettings:
    return SETTINGS.model_copy(update={"daily_budget": items})


def test_the_examples_of_open_alarms_come_first_within_a_tenth_of_the_budget_and_are_not_counted(
    engine: Engine,
) -> None:
    store_items(engine, [0, 1], DRAWN)
    store_items(engine, range(2, 10), replace(DRAWN, selected=False))
    store_items(engine, [10], replace(DRAWN, selected=False), reference_response=None)
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into alarm (kind, state, severity, signal, cohort, policy_model, scorer_version, episode,"
                " direction, place, timestamp, onset_place, onset_timestamp, observations, evidence_log, examples,"
                " detail) values ('no_data', :state, 'alert', 'refusal', '*', 'm', '1', :episode, 'up', 9, now(), 1,"
                " now(), 9, 1, :examples, '')"
            ),
            [
                {
                    "state": "open",
                    "episode": 1,
                    "examples": ["t-1", *(f"t-{number}" for number in range(4, 11)), "t-gone"],
                },
                {"state": "recovered", "episode": 2, "examples": ["t-3"]},
            ],
        )
    registry = tidy(engine)
    put = rows_of(engine, "review_item", "trace_id", "reason", "counted", "probability")[2:]
    assert put == [(f"t-{number}", "alarm", False, 1.0) for number in range(4, 8)]
    assert [item.item_id for item in queue_of(engine).next_items("ada", limit=10).items] == [3, 4, 5, 6, 1, 2]
    assert registry.get_sample_value("monitor_review_items", {"state": "open"}) == 6.0
    tidy(engine)
    tidy(engine, ReviewSettings(floor_ratio=0.0))
    assert len(rows_of(engine, "review_item", "trace_id")) == 6


def test_items_whose_text_is_gone_or_whose_block_was_dropped_are_asked_of_nobody(engine: Engine) -> None:
    store_items(engine, range(3))
    with engine.begin() as connection:
        connection.execute(text("delete from trace where trace_id = 't-0'"))
        connection.execute(
            text(
                "insert into label_item (estimand, trace_id, number, timestamp, policy_model, cohort, scorer_version,"
                " criteria_version, prediction, probability, annotators)"
                " values ('win_rate', 't-1', 1, now(), 'm', 'a', '', '', .5, .5, 0)"
            )
        )
    tidy(engine)
    states = rows_of(engine, "review_item", "state", "missing")
    assert states == [("missing", "text_gone"), ("missing", "too_late"), ("open", None)]


def test_an_item_that_every_annotator_has_answered_is_not_waited_for_for_ever(engine: Engine) -> None:
    store_items(engine, range(3), replace(DRAWN, wanted=2))
    queue = queue_of(engine)
    queue.next_items("ada", limit=3)
    queue.answer("ada", label(1))
    queue.answer("ada", AnswerGiven(2, Answer.SKIP))
    tidy(engine)
    assert [state for (state,) in rows_of(engine, "review_item", "state")] == ["open"] * 3
    with engine.begin() as connection:
        connection.execute(text("update review_verdict set at = now() - :ago"), {"ago": PATIENCE})
    registry = tidy(engine)
    states = rows_of(engine, "review_item", "state", "missing")
    assert states == [("done", None), ("missing", "skipped"), ("open", None)]
    assert registry.get_sample_value("monitor_review_probability", {"trace": "any"}) == 0.0


def test_gold_is_made_of_a_trace_with_its_text_and_of_an_item_that_is_judged(engine: Engine) -> None:
    store_items(engine, [0], DRAWN)
    store_items(engine, [1], replace(DRAWN, selected=False))
    items = PostgresReviewItems(engine)
    with pytest.raises(Conflict, match="open"):
        items.make_gold("t-0", PREFERENCE, 1.0, actor=ADA)
    with pytest.raises(NotFound, match="no text"):
        items.make_gold("t-2", PREFERENCE, 1.0, actor=ADA)
    number = items.make_gold("t-1", PREFERENCE, 0.0, actor=ADA)
    queue = queue_of(engine, gold_ratio=0.999)
    assert {item.item_id for item in queue.next_items("bob", limit=5).items} == {1, number}
    queue.answer("bob", label(1))
    assert items.make_gold("t-0", PREFERENCE, 1.0, actor=ADA) == 1
    assert items.answers() == {"label": 1, "skip": 0, "flag": 0}
