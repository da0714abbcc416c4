"""Items go out to other tools and their answers come back: once, blind, and to the right side."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from monitor.domain.label import REFUSAL
from monitor.domain.review import Selection
from monitor.review.exchange import Returned
from monitor.review.formats import FORMATS
from tests.commands import Done, Run
from tests.hostile import LABELS, UNSTORABLE, unseen
from tests.integration.reviewing import DRAWN, POLICY, rows_of, store_items

pytestmark = pytest.mark.postgres
GOOD, FAILED, BAD_USAGE = 0, 1, 2
SIDE = {True: "left", False: "right"}


@pytest.fixture
def review(run: Run, postgres_url: str) -> Callable[..., Done]:
    return lambda *words: run("review", *words, POSTGRES__URL=postgres_url, REVIEW__KEY="secret")


def judged_by_label_studio(tasks: list[dict[str, Any]], by: object = 10) -> list[dict[str, Any]]:
    """Return *tasks* as Label Studio's JSON export has them: the policy's answer won, but for a tie and a skip."""
    exported = []
    for number, task in enumerate(tasks):
        won = task["data"]["answer1"].startswith(POLICY)
        pair = {"from_name": "better", "to_name": "answer1,answer2", "type": "pairwise", "id": "Dx_aB91ISN"}
        choice = {"from_name": "other", "to_name": "answer1", "type": "choices", "id": "t5sp3TyXPo"}
        single = {"yes": [choice | {"value": {"choices": ["yes"]}}], "tie": [choice | {"value": {"choices": ["tie"]}}]}
        result = single["tie"] if number == 1 else [pair | {"value": {"selected": SIDE[won]}}]
        annotation = {
            "id": 1001 + number,
            "result": single["yes"] if task["data"]["kind"] == REFUSAL else result,
            "was_cancelled": number == 2,
            "ground_truth": False,
            "created_at": "2021-03-09T22:16:08.728353Z",
            "updated_at": "2021-03-09T22:16:08.728378Z",
            "lead_time": 4.288,
            "task": number,
            "completed_by": by,
        }
        prediction = {"model_version": "m", "result": [pair | {"value": {"selected": "left"}}]}
        more = {"id": number, "project": 83, "meta": {}, "predictions": [prediction], "total_annotations": 1}
        exported.append(task | more | {"annotations": [annotation]})
    return exported


def judged_by_argilla(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return *records* as Argilla's `records.to_json` has them."""
    for number, record in enumerate(records):
        won = record["fields"]["answer1"].startswith(POLICY)
        value = "tie" if number == 1 else "first" if won else "second"
        said = {"value": "yes" if record["metadata"]["kind"] == REFUSAL else value, "user_id": "0f1a-bc"}
        record |= {"responses": {"verdict": [said | ({"status": "discarded"} if number == 2 else {})]}}
        record |= {"suggestions": {"verdict": {"value": "first", "score": None, "agent": "m"}}, "_server_id": "9d"}
    return records


def judged_lines(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for number, line in enumerate(lines):
        won = 1 if line["kind"] == REFUSAL else float(line["answers"][0].startswith(POLICY))
        line |= {"annotator": "ada", "value": 0.5 if number == 1 else won, "timestamp": "2026-11-20T10:00:00+01:00"}
        if number == 2:
            line |= {"answer": "skip", "value": None}
    return lines


def rewritten(file: Path, tool: str) -> Path:
    """Answer what *file* asks, as *tool* writes it down."""
    content, judged = file.read_text(), file.with_suffix(".judged")
    if tool == "jsonl":
        judged.write_text("\n".join(map(json.dumps, judged_lines([json.loads(row) for row in content.splitlines()]))))
    else:
        judge = judged_by_label_studio if tool == "label-studio" else judged_by_argilla
        judged.write_text(json.dumps(judge(json.loads(content))))
    return judged


@pytest.mark.parametrize(
    ("tool", "annotator"), [("label-studio", "label-studio/10"), ("argilla", "argilla/0f1a-bc"), ("jsonl", "ada")]
)
def test_a_file_makes_the_round_trip_and_a_second_import_changes_nothing(
    engine: Engine, review: Callable[..., Done], tmp_path: Path, tool: str, annotator: str
) -> None:
    store_items(engine, range(12))
    store_items(engine, [12], Selection(REFUSAL, 0.5, 0.5, selected=True))
    file = tmp_path / "items"
    done = review("export", file, "--format", tool)
    assert (done.code, "13 items" in done.out) == (GOOD, True)
    told = file.read_text().replace(POLICY, "")
    assert not [word for word in ("hidden", "t-0", "trace", "policy", "floor", "probab", "reward") if word in told]
    judged = rewritten(file, tool)
    assert review("import", judged, "--format", tool).out == "answers: 13 new, 0 known, 0 refused\n"
    assert review("import", judged, "--format", tool).out == "answers: 0 new, 13 known, 0 refused\n"
    labels = rows_of(engine, "label", "trace_id", "value", "annotator_id", "inclusion_probability", "criteria_version")
    assert len(labels) == 12
    values = {trace_id: value for trace_id, value, *_ in labels}
    assert (values.pop("t-1"), set(values.values()), "t-2" in values) == (0.5, {1.0}, False)
    assert {row[2:] for row in labels} == {(annotator, 0.5, "1")}
    assert {first for (first,) in rows_of(engine, "review_verdict", "policy_first")} == {True, False, None}
    assert rows_of(engine, "review_item", "state").count(("done",)) == 12


def test_a_later_answer_takes_the_place_of_an_earlier_one_and_an_earlier_one_comes_too_late(
    engine: Engine, review: Callable[..., Done], tmp_path: Path
) -> None:
    store_items(engine, [0])
    file = tmp_path / "items"
    review("export", file, "--format", "jsonl")
    line = json.loads(file.read_text())
    for hour, value, said in ((10, 1, "1 new"), (12, 0, "1 new"), (11, 1, "1 known")):
        judged = line | {"annotator": "ada", "value": value, "timestamp": f"2026-11-20T{hour}:00:00Z"}
        (tmp_path / "judged").write_text(json.dumps(judged))
        assert said in review("import", tmp_path / "judged", "--format", "jsonl").out
    withdrawn = rows_of(engine, "label", "withdrawn_at")
    assert sorted(at is None for (at,) in withdrawn) == [False, True]


def test_what_cannot_be_read_is_named_and_the_rest_is_taken(
    engine: Engine, review: Callable[..., Done], tmp_path: Path
) -> None:
    store_items(engine, range(2))
    file, judged = tmp_path / "items", tmp_path / "judged"
    review("export", file, "--format", "jsonl")
    good, other = [json.loads(row) | {"annotator": "ada", "value": 1} for row in file.read_text().splitlines()]
    lines = [
        json.dumps(good),
        "{",
        json.dumps(other | {"item": "2-0000000000000000"}),
        json.dumps(other | {"item": "\x1b[2J"}),
        json.dumps(other | {"value": 2}),
        json.dumps(other | {"value": None}),
        json.dumps(other | {"criteria_version": "9"}),
        json.dumps({name: value for name, value in other.items() if name != "annotator"}),
        "",
    ]
    judged.write_text("\n".join(lines))
    done = review("import", judged, "--format", "jsonl")
    assert (done.code, done.out) == (FAILED, "answers: 1 new, 0 known, 6 refused\n")
    said = done.err.splitlines()
    assert [line.split(": ")[1] for line in said] == [f"line {number}" for number in range(2, 8)]
    assert "another review.key" in said[1]
    assert "\\x1b" in said[2]
    for tool in ("argilla", "label-studio"):
        assert review("import", judged, "--format", tool).code == BAD_USAGE


def test_hostile_names_are_kept_and_shown_as_text(engine: Engine, review: Callable[..., Done], tmp_path: Path) -> None:
    labels = (LABELS | UNSTORABLE).values()
    store_items(engine, range(len(labels)))
    file, judged, text_file = tmp_path / "items", tmp_path / "judged", tmp_path / "criteria"
    review("export", file, "--format", "jsonl")
    items = [json.loads(row) for row in file.read_text().splitlines()]
    rows = [
        item | {"annotator": label, "note": label, "dimensions": {label: 1}, "value": 1}
        for item, label in zip(items, labels, strict=True)
    ]
    judged.write_text("\n".join(json.dumps(row) for row in rows))
    done = review("import", judged, "--format", "jsonl")
    assert f"{len(labels) - 1} new" in done.out  # what is no Unicode text is refused
    unknown = [row | {"criteria_version": row["annotator"]} for row in rows]
    judged.write_text("\n".join(map(json.dumps, unknown)))
    assert unseen(review("import", judged, "--format", "jsonl").err) == []
    for label in labels:
        text_file.write_text(f"Judge. {label}", encoding="utf-8", errors="replace")
        assert unseen(review("criteria", "add", "--", label[:90], text_file).out) == []
    for words in (*(("show", "--", label) for label in UNSTORABLE.values()), ("activate", "--", "a\0b"), ("list",)):
        done = review("criteria", *words)
        assert (unseen(done.out + done.err), "Traceback" in done.err) == ([], False), words
    assert {review("gold", "--", label, 1).code for label in UNSTORABLE.values()} == {FAILED}


@pytest.mark.parametrize(
    ("word", "value", "dimensions"), [("yes", 1.0, {"full": 1.0}), ("partly", 1.0, {"full": 0.0}), ("no", 0.0, {})]
)
def test_of_a_refusal_other_tools_tell_whether_it_is_full_or_partial(
    word: str, value: float, dimensions: dict[str, float]
) -> None:
    data = {"item": "1-0", "kind": REFUSAL, "answer1": "", "answer2": ""}
    chosen = {"type": "choices", "value": {"choices": [word]}}
    task = {"data": data, "annotations": [{"completed_by": 1, "result": [chosen]}]}
    said = {"value": word, "user_id": "u"}
    record = {"id": "1-0", "fields": {}, "metadata": {"kind": REFUSAL}, "responses": {"verdict": [said]}}
    for tool, content in (("label-studio", task), ("argilla", record)):
        (found,) = FORMATS[tool].read(json.dumps([content]).encode())
        assert isinstance(found, Returned)
        assert (found.value, found.dimensions) == (value, dimensions)


def test_an_annotation_that_says_nothing_or_two_things_is_no_answer() -> None:
    task = {"data": {"item": "1-0", "kind": "preference", "answer1": "", "answer2": ""}}
    (judged,) = judged_by_label_studio([task], {"id": 3, "email": "ada@example.org", "first_name": "Ada"})
    left, tie = judged["annotations"][0], judged_by_label_studio([task, task])[1]["annotations"][0]
    judged["annotations"] = [
        left,
        left | {"result": []},
        left | {"result": left["result"] + tie["result"]},
        left | {"completed_by": None},
        left | {"result": [tie["result"][0] | {"value": {"choices": ["yes"]}}]},
    ]
    found = FORMATS["label-studio"].read(json.dumps([judged, {"data": {}}]).encode())
    assert getattr(found[0], "annotator", None) == "label-studio/ada@example.org"
    reasons = [getattr(item, "reason", "") for item in found[1:]]
    assert [
        part in reason for part, reason in zip(("nothing", "and", "completed_by", "yes", "item"), reasons, strict=True)
    ]
    assert all(reasons)


def test_a_response_that_argilla_keeps_as_a_draft_is_passed_over_and_an_unknown_one_is_named() -> None:
    said = {"value": "first", "user_id": "u", "status": "draft"}
    record = {"id": "1-0", "fields": {}, "metadata": {"kind": "preference"}, "responses": {"verdict": [said]}}
    assert FORMATS["argilla"].read(json.dumps([record]).encode()) == []
    record["responses"] = {"verdict": [said | {"status": "submitted", "value": "yes"}]}
    (unread,) = FORMATS["argilla"].read(json.dumps([record]).encode())
    assert "'yes'" in getattr(unread, "reason", "")


def test_open_items_alone_are_exported_unless_all_are_asked_for(
    engine: Engine, review: Callable[..., Done], tmp_path: Path
) -> None:
    store_items(engine, range(3), replace(DRAWN, wanted=2))
    with engine.begin() as connection:
        connection.execute(text("update review_item set state = 'done' where item_id = 1"))
        connection.execute(text("delete from trace where trace_id = 't-1'"))
    for name, words, count in (("open", (), 1), ("all", ("--all",), 2), ("few", ("--all", "--limit", 1), 1)):
        assert review("export", tmp_path / name, "--format", "jsonl", *words).code == GOOD
        assert len((tmp_path / name).read_text().splitlines()) == count
    assert review("export", tmp_path / "all", "--format", "jsonl").code == BAD_USAGE


def test_criteria_and_gold_are_kept_by_command(engine: Engine, review: Callable[..., Done], tmp_path: Path) -> None:
    store_items(engine, [0], replace(DRAWN, selected=False))
    better = tmp_path / "better.txt"
    better.write_text("Judge better.\nAnd \x1b[31mfaster.\n")
    assert review("criteria", "add", "2", better).code == GOOD
    assert review("criteria", "add", "2", better).code == FAILED
    assert review("criteria", "activate", "3").code == FAILED
    assert review("criteria", "activate", "2").code == GOOD
    assert [line.endswith("in force") for line in review("criteria", "list").out.splitlines()] == [False, True]
    assert review("criteria", "show", "2").out == "Judge better.\nAnd \\x1b[31mfaster.\n"
    assert review("gold", "t-0", 1).out == "item 1 is gold: its preference is 1\n"
    assert review("gold", "t-9", 1).code == FAILED
    assert "0 open" in review("status").out
    assert [row[0] for row in rows_of(engine, "audit", "action")] == [
        "criteria.add",
        "criteria.activate",
        "review.gold",
    ]
