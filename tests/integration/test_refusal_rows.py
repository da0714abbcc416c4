"""Labels of refusals as rows that a refusal model learns from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from monitor.app.signals import refusal_model_of
from monitor.domain.label import FULL, PREFERENCE, REFUSAL, Label, LabelSource
from monitor.domain.review import Selection
from monitor.domain.trace import Message
from monitor.labels.refusals import Refuses, refusals_of
from monitor.postgres.engine import create_engine_for
from monitor.postgres.labels import insert_labels
from monitor.postgres.preferences import PostgresPreferences
from monitor.settings.refusal import RefusalSettings
from monitor.signals.refusal import read_answers
from retrain.__main__ import main as retrain
from tests.commands import Run
from tests.integration.reviewing import POLICY, label, queue_of, store_items
from tests.traces import START

ASKED = Selection(REFUSAL, 0.5, 0.5, selected=True)
NO_REFERENCE: dict[str, object] = {"reference_response": None}


def said(trace: str, value: float, by: str = "ada", *, full: float | None = None, **changes: Any) -> Label:
    dimensions: Mapping[str, float] = {} if full is None else {FULL: full}
    usual = Label(f"{trace}-{by}", START, trace, REFUSAL, value, by, dimensions=dimensions)
    return Label(**{name: changes.get(name, getattr(usual, name)) for name in Label.__dataclass_fields__})


@pytest.mark.parametrize(
    ("labels", "refusal"),
    [
        ([said("t", 0.0)], Refuses.NONE),
        ([said("t", 1.0, full=1.0)], Refuses.FULL),
        ([said("t", 1.0, full=0.0)], Refuses.PARTIAL),
        ([said("t", 1.0)], Refuses.FULL),
        ([said("t", 1.0, full=0.0), said("t", 1.0, "bob", full=0.0), said("t", 0.0, "eve")], Refuses.PARTIAL),
        ([said("t", 1.0), said("t", 0.0, "bob")], None),
        ([said("t", 1.0, full=1.0), said("t", 1.0, "bob", full=0.0)], None),
        ([said("t", 1.0, source=LabelSource.AI), said("t", 0.0, "bob")], Refuses.NONE),
        ([said("t", 1.0, kind="rating")], None),
    ],
    ids=["no", "in full", "in part", "not asked how far", "most in part", "split", "split how far", "a model", "other"],
)
def test_what_people_say_of_an_answer_comes_to_one_word_or_to_none(
    labels: list[Label], refusal: Refuses | None
) -> None:
    assert refusals_of(labels) == ({} if refusal is None else {"t": refusal})


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


@pytest.mark.postgres
def test_answers_of_the_review_page_are_exported_with_their_texts_after_those_are_forgotten(
    engine: Engine, run: Run, postgres_url: str, tmp_path: Path
) -> None:
    def export() -> list[dict[str, str]]:
        file = tmp_path / "refusals.jsonl"
        done = run("review", "refusals", str(file), POSTGRES__URL=postgres_url)
        assert done.code == 0
        assert done.out.startswith(f"{file}: {len(file.read_text().splitlines())} answers, sha256 ")
        return [json.loads(row) for row in file.read_text().splitlines()]

    store_items(engine, range(4), ASKED, **NO_REFERENCE)
    queue = queue_of(engine)
    for item, value, dimensions in ((1, 1.0, {FULL: 0.0}), (2, 0.0, {}), (3, 1.0, {FULL: 1.0})):
        queue.next_items("ada", limit=5)
        queue.answer("ada", label(item, value, dimensions=dimensions))
    queue.undo("ada", 2)
    rows = export()
    assert rows == [
        {
            "prompt": f"Question {number}?",
            "answer": f"{POLICY} {number}.",
            "refusal": refusal,
            "source": "labels",
            "model": "hidden-policy",
            "language": "en",  # of the answer
        }
        for number, refusal in ((0, "partial"), (2, "full"))
    ]
    with engine.begin() as connection:
        connection.execute(text("delete from trace"))
    assert export() == rows


@pytest.mark.postgres
def test_a_text_that_is_kept_for_a_refusal_alone_is_part_of_no_preference_pair(engine: Engine, tmp_path: Path) -> None:
    store_items(engine, range(2), ASKED)
    store_items(engine, range(2, 4), ASKED, **NO_REFERENCE)
    labels = [said(f"t-{number}", 1.0) for number in range(4)]
    preferred = [said(f"t-{number}", 1.0, "bob", kind=PREFERENCE) for number in range(4)]
    with engine.begin() as connection:
        insert_labels(connection, [*labels, *preferred])
    preferences = PostgresPreferences(engine)
    written = preferences.export(tmp_path / "pairs.jsonl", tmp_path / "card.json")
    assert written.rows == 2
    assert preferences.count_since(None) == 2
    assert preferences.count_since(START.replace(year=2000)) == 2
    assert json.loads((tmp_path / "card.json").read_text())["without_text"] == 2
    with engine.begin() as connection:
        assert connection.execute(text("select count(*) from preference_text")).scalar_one() == 4


@pytest.mark.postgres
def test_what_people_judged_trains_a_model_that_the_settings_may_name(
    engine: Engine, run: Run, postgres_url: str, tmp_path: Path
) -> None:
    dishes = ("rice", "lentils", "pasta", "barley", "beans", "soup", "bread", "dal")
    labels = []
    for number in range(96):
        dish, refuses = dishes[number % len(dishes)], number % 3 == 0
        asked = {"messages": (Message("user", f"How do I cook {dish} for {number} people?"),)}
        text_of = "We would rather leave {0} to your own kitchen." if refuses else "Boil {0} in water for ten minutes."
        store_items(engine, [number], ASKED, response=text_of.format(dish), **asked, **NO_REFERENCE)
        labels.append(said(f"t-{number}", float(refuses)))
    with engine.begin() as connection:
        insert_labels(connection, labels)
    file, out = tmp_path / "refusals.jsonl", tmp_path / "model"
    assert run("review", "refusals", str(file), POSTGRES__URL=postgres_url).code == 0
    assert retrain(["refusal", "--labels", str(file), "--begin", "shipped", "--out", str(out)]) == 0
    question = (Message("user", "How do I cook oats for 3 people?"),)
    evasion = "We would rather leave oats to your own kitchen."
    usual = refusal_model_of(RefusalSettings())
    own = refusal_model_of(RefusalSettings(model=out / "refusal.json.gz"))
    asked_of = [(question, evasion), (question, "Boil oats in water for ten minutes.")]
    before, after = read_answers(usual, asked_of), read_answers(own, asked_of)
    assert own.version != usual.version
    assert [row is not None and row.probability >= 0.5 for row in before] == [False, False]
    assert [row is not None and row.probability >= own.threshold for row in after] == [True, False]
