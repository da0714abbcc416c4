"""Annotators answer what was drawn: each item goes to as many as it wants, blind, and each answer is a label."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from monitor.domain.label import PREFERENCE, REFUSAL
from monitor.domain.review import Answer, AnswerGiven, Selection
from monitor.errors import Conflict, InvalidInput, NotFound
from monitor.postgres.labels import PostgresLabels
from monitor.review.criteria import DEFAULT
from monitor.review.queue import MAX_SKIPS, outcome_of
from tests.integration.reviewing import DRAWN, POLICY, REFERENCE, label, queue_of, rows_of, store_items

pytestmark = pytest.mark.postgres
SKIP, FLAG = (AnswerGiven(1, answer) for answer in (Answer.SKIP, Answer.FLAG))


def item_states(engine: Engine) -> list[tuple[str, str | None]]:
    return rows_of(engine, "review_item", "state", "missing")


def verdict(engine: Engine, number: int = 0) -> float | None:
    with engine.begin() as connection:
        found = PostgresLabels(engine).verdicts(connection, PREFERENCE, [f"t-{number}"])
    return found[f"t-{number}"].value if found else None


def test_an_item_shows_the_conversation_and_both_answers_in_an_order_that_is_kept(engine: Engine) -> None:
    store_items(engine, range(20))
    queue = queue_of(engine)
    hand = queue.next_items("ada", limit=20)
    assert (hand.criteria, hand.annotator, len(hand.items)) == (DEFAULT, "ada", 20)
    assert (hand.progress.answered_today, hand.progress.open, hand.progress.budget) == (0, 20, 100)
    first = [item.answers[0].startswith(POLICY) for item in hand.items]
    assert 2 < sum(first) < 18
    for item, number in zip(hand.items, range(20), strict=True):
        assert [message.content for message in item.messages] == ["Be kind.", f"Question {number}?"]
        assert set(item.answers) == {f"{POLICY} {number}.", f"{REFERENCE} {number}."}
    assert queue.next_items("ada", limit=20) == hand


def test_an_answer_is_turned_to_the_policy_s_and_is_a_label_with_its_probability(engine: Engine) -> None:
    store_items(engine, range(8))
    queue = queue_of(engine)
    for item in queue.next_items("ada", limit=8).items:
        queue.answer("ada", label(item.item_id, float(item.answers[0].startswith(POLICY)), dimensions={"style": 0.25}))
    labels = rows_of(engine, "label", "value", "annotator_id", "inclusion_probability", "criteria_version", "source")
    assert labels == [(1.0, "ada", 0.5, "1", "human")] * 8
    kept = rows_of(engine, "review_verdict", "policy_first", "dimensions", "seconds")
    assert {first for first, _, _ in kept} == {True, False}
    assert all(styles == {"style": 0.25 if first else 0.75} and seconds == 3.5 for first, styles, seconds in kept)
    assert item_states(engine) == [("done", None)] * 8


def test_one_answer_alone_is_shown_as_it_is_and_its_value_is_not_turned(engine: Engine) -> None:
    store_items(engine, [0], Selection(REFUSAL, 0.5, 0.5, selected=True))
    queue = queue_of(engine)
    (item,) = queue.next_items("ada", limit=5).items
    assert (item.kind, item.answers) == (REFUSAL, (f"{POLICY} 0.",))
    queue.answer("ada", label(1, 1.0))
    assert rows_of(engine, "label", "kind", "value") == [(REFUSAL, 1.0)]


def test_two_annotators_who_race_share_the_work_and_never_do_the_same(engine: Engine) -> None:
    store_items(engine, range(40))
    together = threading.Barrier(4)
    failures: list[BaseException] = []

    def work(annotator: str) -> None:
        queue = queue_of(engine)
        try:
            together.wait(10)
            while items := queue.next_items(annotator, limit=3).items:
                for item in items:
                    queue.answer(annotator, label(item.item_id))
        except BaseException as failure:  # noqa: BLE001 - told below
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("ada", "bob", "ada", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [failure for failure in failures if not isinstance(failure, Conflict)] == []  # ada works in two windows
    answered = Counter(item_id for (item_id,) in rows_of(engine, "review_verdict", "item_id"))
    assert answered == dict.fromkeys(range(1, 41), 1)
    assert item_states(engine) == [("done", None)] * 40


def test_an_item_that_is_checked_goes_to_two_annotators_and_to_neither_twice(engine: Engine) -> None:
    store_items(engine, [0], replace(DRAWN, wanted=2))
    queue = queue_of(engine)
    assert len(queue.next_items("ada", limit=5).items) == len(queue.next_items("bob", limit=5).items) == 1
    assert queue.next_items("eve", limit=5).items == ()
    queue.answer("ada", label(1))
    assert item_states(engine) == [("open", None)]
    assert queue.next_items("ada", limit=5).items == ()
    queue.answer("bob", label(1))
    assert item_states(engine) == [("done", None)]


def test_a_claim_that_ran_out_gives_the_item_to_somebody_else_and_a_late_answer_still_counts(engine: Engine) -> None:
    store_items(engine, [0])
    queue = queue_of(engine)
    assert len(queue.next_items("ada", limit=1).items) == 1
    assert queue.next_items("bob", limit=1).items == ()
    with engine.begin() as connection:
        connection.execute(text("update review_claim set until = now() - interval '1 second'"))
    assert len(queue.next_items("bob", limit=1).items) == 1
    queue.answer("ada", label(1))
    queue.answer("bob", label(1))
    assert len(rows_of(engine, "label", "value")) == 2


def test_an_answer_that_comes_twice_is_kept_once_and_another_one_is_refused(engine: Engine) -> None:
    store_items(engine, [0, 1])
    queue = queue_of(engine)
    queue.next_items("ada", limit=1)
    assert queue.answer("ada", label(1, 0.5)) == queue.answer("ada", label(1, 0.5))
    with pytest.raises(Conflict, match="not before you"):
        queue.answer("ada", label(1, 0.0))
    with pytest.raises(Conflict, match="not before you"):
        queue.answer("bob", label(2))
    with pytest.raises(NotFound):
        queue.answer("ada", label(99))
    queue.next_items("ada", limit=1)
    with pytest.raises(InvalidInput, match="value"):
        queue.answer("ada", AnswerGiven(2, Answer.LABEL))
    assert len(rows_of(engine, "label", "value")) == 1


def test_what_is_taken_back_is_shown_again_as_it_was_and_its_label_counts_no_more(engine: Engine) -> None:
    store_items(engine, [0])
    queue = queue_of(engine)
    (item,) = queue.next_items("ada", limit=1).items
    queue.answer("ada", label(1, 1.0))
    back = queue.undo("ada")
    assert (back.item, back.progress.answered_today) == (item, 0)
    assert verdict(engine) is None
    assert item_states(engine) == [("open", None)]
    queue.answer("ada", label(1, 0.5))
    assert verdict(engine) == 0.5
    assert [(withdrawn is None) for (withdrawn,) in rows_of(engine, "label", "withdrawn_at")] == [False, True]
    queue.undo("ada", 1)
    with pytest.raises(NotFound, match="take back"):
        queue.undo("ada")


def test_what_one_skips_another_is_asked_and_what_somebody_flags_nobody_is(engine: Engine) -> None:
    store_items(engine, [0])
    queue = queue_of(engine)
    queue.next_items("ada", limit=1)
    queue.answer("ada", SKIP)
    assert queue.next_items("ada", limit=1).items == ()
    queue.next_items("bob", limit=1)
    queue.answer("bob", FLAG)
    assert item_states(engine) == [("missing", "flagged")]
    assert queue.next_items("eve", limit=1).items == ()
    assert queue.undo("bob").item.item_id == 1
    assert item_states(engine) == [("open", None)]
    assert rows_of(engine, "label", "value") == []


@pytest.mark.parametrize(
    ("wanted", "answers", "state"),
    [
        (1, [], "open"),
        (2, [Answer.LABEL], "open"),
        (1, [Answer.SKIP, Answer.LABEL], "done"),
        (1, [Answer.SKIP] * MAX_SKIPS, "missing"),
        (2, [Answer.LABEL, *[Answer.SKIP] * MAX_SKIPS], "done"),
        (1, [Answer.LABEL, Answer.FLAG], "missing"),
        (0, [], "done"),
    ],
)
def test_an_item_s_state_follows_from_its_answers(wanted: int, answers: list[Answer], state: str) -> None:
    assert outcome_of(wanted, answers)[0] == state


def test_an_item_whose_text_is_gone_is_missing_and_the_next_one_is_shown(engine: Engine) -> None:
    store_items(engine, [0, 1])
    with engine.begin() as connection:
        connection.execute(text("delete from trace where trace_id = 't-0'"))
    queue = queue_of(engine)
    assert [item.item_id for item in queue.next_items("ada", limit=5).items] == [2]
    assert item_states(engine) == [("missing", "text_gone"), ("open", None)]


def test_gold_comes_at_its_rate_among_the_others_and_counts_in_no_estimate(engine: Engine) -> None:
    store_items(engine, range(30))
    with engine.begin() as connection:
        gold = "update review_item set gold = 1, state = 'done', wanted = 0, counted = false where item_id <= 10"
        connection.execute(text(gold))
    queue = queue_of(engine, gold_ratio=0.5)
    seen = []
    while items := queue.next_items("ada", limit=4).items:
        for item in items:
            queue.answer("ada", label(item.item_id))
            seen.append(item.item_id)
    assert set(range(11, 31)) <= set(seen)
    assert 5 <= sum(item_id <= 10 for item_id in seen) <= 10
    stated = rows_of(engine, "label", "trace_id", "inclusion_probability")
    assert {probability for trace_id, probability in stated if int(trace_id[2:]) < 10} == {None}
