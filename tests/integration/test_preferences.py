"""Preference pairs: from events and labels to a run, counted by the same rules, and made again years later."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, text, update

from monitor.domain.label import Label, LabelSource
from monitor.errors import InvalidInput, NotFound
from monitor.labels.card import SetCard
from monitor.labels.pairs import PairRules
from monitor.postgres import schema
from monitor.postgres.preference_sets import PostgresPreferenceSets
from monitor.postgres.preferences import PostgresPreferences
from monitor.postgres.retention import PostgresRetention, Retention
from monitor.retraining.dispatcher import Step
from monitor.runs.artifact import HashedFile
from retrain.preferences import load_pairs
from tests.commands import Run
from tests.hostile import unseen
from tests.integration.job_parts import Parts, drive, prefer
from tests.integration.preference_parts import answered, forget_texts, label, store_labels, store_traces

pytestmark = pytest.mark.postgres


def exported(engine: Engine, folder: Path, **rules: Any) -> tuple[list[dict[str, Any]], SetCard]:
    """Return the pairs a run would be given, and what is told of them."""
    preferences = PostgresPreferences(engine, PairRules(**rules))
    file = preferences.export(folder / "pairs.jsonl", folder / "card.json")
    content = Path(file.path).read_bytes()
    rows = [json.loads(line) for line in content.splitlines()]
    assert (file.rows, file.sha256) == (len(rows), sha256(content).hexdigest())
    card = SetCard(**json.loads((folder / "card.json").read_text()))
    assert (card.pairs, card.sha256) == (file.rows, file.sha256)
    return rows, card


def count(engine: Engine, time: datetime | None = None) -> int:
    return PostgresPreferences(engine).count_since(time)


def test_events_are_pairs_and_their_ties_are_not(engine: Engine, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "question p-1"}, {"role": "assistant", "content": "yes"}]
    prefer(engine, "p-2", messages=[*turns, {"role": "user", "content": "sure?"}])
    prefer(engine, "p-1")
    prefer(engine, "p-3")
    prefer(engine, "p-4", tie=True)

    rows, card = exported(engine, tmp_path)

    by_id = {row["judgements"][0][1]: row for row in rows}
    assert sorted(by_id) == ["p-1", "p-2", "p-3"]
    assert by_id["p-1"]["conversation_id"] == by_id["p-2"]["conversation_id"] != by_id["p-3"]["conversation_id"]
    assert by_id["p-1"]["timestamp"] == "2026-11-01T00:00:00+00:00"
    assert (card.by_source, card.dropped) == ({"event": 3}, {"tie": 1})
    assert exported(engine, tmp_path)[1] == card


def test_a_label_makes_a_pair_of_its_trace_with_all_that_is_known_of_it(engine: Engine, tmp_path: Path) -> None:
    store_traces(engine, [answered(1, conversation_id="c-1"), answered(2)])
    lost = label(2, 0.0, annotator="bo", criteria_version="2", dimensions={"helpful": 0.25})
    store_labels(engine, label(1), lost)

    (won, turned), card = exported(engine, tmp_path)

    assert (won["chosen"], won["rejected"], won["conversation_id"]) == ("ours 1", "theirs 1", "c-1")
    assert won["messages"] == [{"role": "user", "content": "question 1"}]
    assert (turned["chosen"], turned["rejected"]) == ("theirs 2", "ours 2")
    assert turned["dimensions"] == {"helpful": 0.75}
    assert (turned["criteria_version"], turned["by"], turned["agreement"]) == ("2", "human", 1.0)
    assert turned["judgements"] == [["label", lost.label_id, lost.digest().hex()]]
    assert won["annotators"] != turned["annotators"] != ["bo"], "told apart, and not named"
    assert (card.by_source, card.by_criteria, card.annotators) == ({"label": 2}, {"": 1, "2": 1}, 2)
    assert len(load_pairs(HashedFile(str(tmp_path / "pairs.jsonl"), card.sha256, 2)).pairs) == 2


def test_the_same_two_answers_from_an_event_and_a_label_are_one_pair(engine: Engine, tmp_path: Path) -> None:
    store_traces(engine, [answered(1)])
    store_labels(engine, label(1, 0.0, annotator="ada"))
    asked = [{"role": "user", "content": "question 1"}]
    prefer(engine, "p-1", messages=asked, chosen="theirs 1", rejected="ours 1", annotator_id="bo")

    (pair,), card = exported(engine, tmp_path)

    assert (pair["chosen"], len(pair["annotators"]), card.merged) == ("theirs 1", 2, 1)
    assert card.by_source == {"event": 1, "label": 1}


@pytest.mark.parametrize(
    "of_another_day",
    [
        pytest.param({"label_id": "l-9"}, id="another label of the same annotator"),
        pytest.param({"annotator_id": None}, id="the same label with another content"),
    ],
)
def test_a_correction_counts_and_what_it_corrects_does_not(
    engine: Engine, tmp_path: Path, of_another_day: dict[str, Any]
) -> None:
    first = label(1)
    later: Label = replace(first, value=0.0, timestamp=first.timestamp + timedelta(days=1), **of_another_day)
    store_traces(engine, [answered(1)])
    store_labels(engine, later, first)

    (pair,), _ = exported(engine, tmp_path)

    assert (pair["chosen"], len(pair["judgements"])) == ("theirs 1", 1)


def test_an_answer_on_the_review_page_is_named_so_and_one_that_was_withdrawn_does_not_count(
    engine: Engine, tmp_path: Path
) -> None:
    store_traces(engine, [answered(1), answered(2)])
    store_labels(engine, label(1), label(2))
    item = {"kind": "preference", "probability": 1.0, "counted": True, "reason": "floor", "wanted": 1}
    verdict = {"annotator_id": "ada", "answer": "label", "dimensions": {}}
    with engine.begin() as connection:
        for number in (1, 2):
            given = insert(schema.review_item).values(item | {"trace_id": answered(number).trace_id})
            item_id = connection.execute(given.returning(schema.review_item.c.item_id)).scalar_one()
            row = verdict | {"item_id": item_id, "label_id": label(number).label_id}
            connection.execute(insert(schema.review_verdict).values(row))
        undone = update(schema.label).where(schema.label.c.label_id == label(2).label_id)
        connection.execute(undone.values(withdrawn_at=datetime.now(UTC)))

    (pair,), card = exported(engine, tmp_path)

    assert (pair["chosen"], card.by_source) == ("ours 1", {"review": 1})


def test_labels_by_users_and_of_other_kinds_are_no_pairs_and_models_only_where_asked_for(
    engine: Engine, tmp_path: Path
) -> None:
    store_traces(engine, [answered(number) for number in range(1, 6)])
    store_labels(
        engine,
        label(1),
        label(2),
        label(3, source=LabelSource.USER),
        label(4, kind="refusal"),
        label(5, source=LabelSource.AI),
    )

    people, card = exported(engine, tmp_path)
    both, told = exported(engine, tmp_path, ai_ratio=0.5)

    assert {row["by"] for row in people} == {"human"}
    assert (len(people), card.ai_pairs, card.dropped) == (2, 0, {"ai": 1})
    assert (len(both), told.ai_pairs) == (3, 1)
    loaded = load_pairs(HashedFile(str(tmp_path / "pairs.jsonl"), told.sha256, 3)).pairs
    assert sorted(pair.by_people for pair in loaded) == [False, True, True]


def test_a_labelled_trace_is_learnt_from_after_its_text_was_forgotten_but_not_one_labelled_too_late(
    engine: Engine, tmp_path: Path
) -> None:
    store_traces(engine, [answered(1), answered(2), answered(3, reference_response=None)])
    store_labels(engine, label(1), label(3))
    PostgresPreferences(engine).read_new()
    forget_texts(engine)
    store_labels(engine, label(2), label(4))

    (pair,), card = exported(engine, tmp_path)

    assert pair["chosen"] == "ours 1"
    assert card.without_text == 3, "forgotten, without a reference, never seen"


def test_new_pairs_are_counted_by_the_rules_that_choose_them(engine: Engine) -> None:
    prefer(engine, "p-old", annotator_id="ada")
    assert count(engine) == 1
    with engine.begin() as connection:
        now = connection.execute(text("select clock_timestamp()")).scalar_one()
    store_traces(engine, [answered(number) for number in range(1, 5)])
    assert count(engine, now) == 0
    store_labels(
        engine, label(1), label(2, 0.5), label(3), label(3, 0.0, annotator="bo"), label(4, source=LabelSource.AI)
    )
    prefer(engine, "p-new")
    prefer(engine, "p-tie", tie=True)

    assert (count(engine, now), count(engine)) == (2, 3)

    prefer(engine, "p-old-again", messages=[{"role": "user", "content": "question p-old"}], annotator_id="bo")
    assert (count(engine, now), count(engine)) == (3, 3), "news of an old pair, which stays one"


def test_a_set_is_kept_with_its_run_and_made_again_byte_by_byte_when_all_else_is_gone(
    parts: Parts, tmp_path: Path
) -> None:
    engine = parts.engine
    for number in range(3):
        prefer(engine, f"p-{number}", chosen="\u2028 <b>né</b> \U0001f600")
    store_traces(engine, [answered(1)])
    store_labels(engine, label(1))
    parts.start()
    dispatcher = parts.dispatcher("hang")
    drive(dispatcher, Step.STARTED)
    (given,) = (tmp_path / "runs").rglob("preferences.jsonl")
    content = given.read_bytes()
    for table in ("preference", "label", "preference_text", "trace"):
        with engine.begin() as connection:
            connection.execute(text(f"delete from {table}"))  # noqa: S608
    prefer(engine, "another")

    sets = PostgresPreferenceSets(engine)
    (stored,) = sets.sets(limit=5)
    written = sets.write(sets.find(sha256(content).hexdigest()[:12]), tmp_path / "again.jsonl")

    assert (tmp_path / "again.jsonl").read_bytes() == content
    assert (written.rows, written.sha256) == (4, stored.card.sha256)
    assert (stored.jobs, stored.card.by_source) == ((1,), {"event": 3, "label": 1})


def test_two_sets_share_their_lines_and_each_is_its_own(parts: Parts, tmp_path: Path) -> None:
    contents = []
    for number in range(2):
        prefer(parts.engine, f"p-{number}")
        path, card = tmp_path / f"{number}.jsonl", tmp_path / f"{number}.json"
        file = PostgresPreferences(parts.engine).export(path, card)
        for _ in range(2):  # a dispatcher that did not hear of its commit takes the step again
            with parts.begin() as work:
                work.preferences.keep_set(file, card)
        contents.append(path.read_bytes())
    sets = PostgresPreferenceSets(parts.engine)

    for content in contents:
        sets.write(sets.find(sha256(content).hexdigest()), tmp_path / "again.jsonl")
        assert (tmp_path / "again.jsonl").read_bytes() == content
    with parts.engine.connect() as connection:
        assert len(connection.execute(select(schema.preference_pair)).all()) == 2
    with pytest.raises(NotFound, match="no run was given a set 'abcdef'"):
        sets.find("abcdef")
    with pytest.raises(InvalidInput, match="too short"):
        sets.find("")


def test_a_set_whose_texts_are_forgotten_says_so_and_keeps_its_card(parts: Parts, tmp_path: Path) -> None:
    prefer(parts.engine, "p-1")
    file = PostgresPreferences(parts.engine).export(tmp_path / "pairs.jsonl", tmp_path / "card.json")
    with parts.begin() as work:
        work.preferences.keep_set(file, tmp_path / "card.json")
    with parts.engine.begin() as connection:
        connection.execute(text("update preference_pair set used_on = used_on - 50"))

    PostgresRetention(parts.engine, Retention(0, 0, 0, pair_days=40)).tidy()

    sets = PostgresPreferenceSets(parts.engine)
    stored = sets.find(file.sha256)
    assert stored.card.pairs == 1
    with pytest.raises(NotFound, match="1 of the set's 1 pairs are kept no more"):
        sets.write(stored, tmp_path / "again.jsonl")
    assert not list(tmp_path.glob("again*"))


def test_the_commands_tell_of_sets_and_write_them_whatever_a_cohort_is_called(
    run: Run, parts: Parts, postgres_url: str, tmp_path: Path
) -> None:
    cohort = "\x1b[31m<b>\u202e"
    for number in range(3):
        prefer(parts.engine, f"p-{number}", cohort=cohort)
    nothing = run("preferences", "list", POSTGRES__URL=postgres_url)
    parts.start()
    drive(parts.dispatcher("hang"), Step.STARTED)
    now = run("preferences", "export", tmp_path / "now.jsonl")
    (told,) = json.loads(run("preferences", "list", "--json").out)
    begins = told["card"]["sha256"][:10]
    shown = [run("preferences", "list"), run("preferences", "show", begins)]
    again = run("preferences", "export", tmp_path / "again.jsonl", "--sha256", begins)
    unknown = run("preferences", "show", "0123456789")

    assert nothing.out == "no run was given preference pairs yet\n"
    assert (now.code, again.code, unknown.code) == (0, 0, 1)
    assert (tmp_path / "now.jsonl").read_bytes() == (tmp_path / "again.jsonl").read_bytes()
    assert json.loads((tmp_path / "now.card.json").read_text())["by_cohort"] == {cohort: 3}
    assert told["jobs"] == [1]
    for done in shown:
        assert (done.code, unseen(done.out)) == (0, [])
        assert "event 3" in done.out
