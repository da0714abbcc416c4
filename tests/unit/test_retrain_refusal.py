"""Training the learned refusal model from labelled answers, and its card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from monitor.signals.refusal.features import look_at, word_weights
from monitor.signals.refusal.learned import LearnedRefusal
from monitor.signals.refusal.weights import SHIPPED, WEIGHTS_FILE, read_weights
from retrain.__main__ import main
from retrain.refusal import CARD_FILE, share_of
from retrain.refusal_anchor import holding, judging, ordinary
from retrain.refusal_fit import least_weighed
from retrain.refusal_rows import LabelledAnswer, groups_of, read_labelled

THINGS = ("boat", "clock", "shed", "violin", "wall", "garden", "engine", "letter", "cake", "roof")
REFUSES = ("I'm sorry, but I can't help you with a {0}.", "I will not explain the {0}. It would be harmful.")
ANSWERS = (
    "A {0} is built from wood and then painted twice.",
    "First measure the {0}, then cut the boards and sand them.",
)


def write_answers(path: Path, *, sources: tuple[str, ...] = ("one", "two", "three"), seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(240):
        refuses, thing = bool(rng.random() < 0.5), THINGS[number % len(THINGS)]
        answer = str(rng.choice(REFUSES if refuses else ANSWERS)).format(thing)
        source = sources[number % len(sources)]
        label = ("partial" if rng.random() < 0.2 else "full") if refuses else "none"
        rows.append({"prompt": f"How do I make a {thing}?", "answer": answer, "refusal": label})
        rows[-1] |= {"source": source, "model": f"{source}-{number % 2}"}
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    labels = write_answers(tmp_path / "labels.jsonl")
    assert main(["refusal", "--labels", str(labels), "--out", str(tmp_path / "out")]) == 0
    return tmp_path / "out"


def test_what_was_trained_is_read_and_tells_refusals_apart(trained: Path) -> None:
    model = LearnedRefusal(trained / WEIGHTS_FILE)
    pairs = [("How do I make a kite?", text.format("kite")) for text in (*REFUSES, *ANSWERS)]
    refused = [probability for probability, _ in model.probabilities(pairs)]
    assert min(refused[:2]) > 0.8
    assert max(refused[2:]) < 0.2


def test_its_card_says_of_what_it_was_made_and_how_well_it_does_on_sources_left_out(trained: Path) -> None:
    card = json.loads((trained / CARD_FILE).read_text())
    labels = (trained.parent / "labels.jsonl").read_bytes()
    assert card["files"] == {"labels.jsonl": hashlib.sha256(labels).hexdigest()}
    assert card["left_out"].keys() == {"one", "two", "three"}
    for measured in card["left_out"].values():
        recall, low, high = measured["recall"]
        assert low <= recall <= high
        assert recall > 0.9
    assert LearnedRefusal(trained / WEIGHTS_FILE).card["left_out"] == card["left_out"]


def test_the_same_answers_make_the_same_weights(trained: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert main(["refusal", "--labels", str(tmp_path / "labels.jsonl"), "--out", str(again)]) == 0
    assert (again / WEIGHTS_FILE).read_bytes() == (trained / WEIGHTS_FILE).read_bytes()


def test_where_one_source_is_all_there_is_the_same_prompt_is_left_out_as_a_whole(tmp_path: Path) -> None:
    rows = read_labelled([write_answers(tmp_path / "labels.jsonl", sources=("one",))]).rows
    groups = groups_of(rows)
    of_prompt: dict[str, set[str]] = {}
    for row, group in zip(rows, groups, strict=True):
        of_prompt.setdefault(row.prompt, set()).add(group)
    assert all(len(found) == 1 for found in of_prompt.values())
    assert len(set(groups)) > 1


def test_rows_written_to_teach_are_never_left_out(tmp_path: Path) -> None:
    rows = read_labelled([write_answers(tmp_path / "labels.jsonl", sources=("one", "two", "authored"))]).rows
    assert {group for row, group in zip(rows, groups_of(rows), strict=True) if row.source == "authored"} == {""}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        pytest.param('{"prompt": "a"}', "missing required field", id="a field is missing"),
        pytest.param("not json", "malformed", id="no JSON"),
        pytest.param(
            '{"prompt": "a", "answer": "b", "refusal": "maybe", "source": "s", "model": "m"}',
            "Invalid enum",
            id="label",
        ),
    ],
)
def test_a_line_that_is_wrong_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, told: str
) -> None:
    labels = write_answers(tmp_path / "labels.jsonl")
    labels.write_text(labels.read_text() + line + "\n")
    assert main(["refusal", "--labels", str(labels), "--out", str(tmp_path / "out")]) != 0
    error = capsys.readouterr().err
    assert "labels.jsonl:241" in error
    assert told in error


def test_too_few_of_a_kind_are_not_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "few.jsonl"
    row = {"prompt": "a", "answer": "b", "refusal": "none", "source": "s", "model": "m"}
    labels.write_text("\n".join([json.dumps(row)] * 30))
    assert main(["refusal", "--labels", str(labels), "--out", str(tmp_path / "out")]) != 0
    assert "0 answers refuse and 30 do not" in capsys.readouterr().err


def test_a_share_comes_with_the_exact_interval() -> None:
    assert share_of(0, 0) is None
    assert share_of(0, 100) == (0.0, 0.0, 0.0362)
    assert share_of(100, 100) == (1.0, 0.9638, 1.0)


def test_an_answer_is_passed_over_only_where_its_words_weigh_less_than_every_refusal_s() -> None:
    tokens = {
        "wrong": (0.9, 0.0),
        "harm": (0.6, 0.0),
        "paint": (-0.8, 0.0),
        "^wrong": (5.0, 0.0),
        "wrong to": (5.0, 0.0),
    }
    said = ["It would be wrong.", *["That does harm to others."] * 2, *["I'm sorry, I can't help with paint."] * 2]
    rows = [
        LabelledAnswer(prompt="How?", answer=answer, refusal="full", source="one", model="a", language="en")
        for answer in said
    ]
    least = least_weighed(rows, tokens)
    assert least == 6_000, "what declines in so many words is read anyway, and no token but a word is weighed"
    weights = word_weights(tokens)
    assert look_at("Harms and wrongs.").weighed(weights) == 15_000
    assert look_at("I would paint my wall, not harm it.").weighed(weights) < least
    assert least_weighed(rows[3:], tokens) is None


EVADES = "We would rather leave the {0} to your own hands."


def evasions(path: Path, count: int, *, answers_every: int | None = None) -> Path:
    """Write labels of one policy that evades a third of what it is asked, and never says that it cannot help.

    With *answers_every* it answers one question of so many, and evades all others.
    """
    rows = []
    for number in range(count):
        refuses, thing = number % 3 == 0, THINGS[number % len(THINGS)]
        if answers_every is not None:
            refuses = number % answers_every != 0
        answer = (EVADES if refuses else ANSWERS[number % 2]).format(thing)
        rows.append({"prompt": f"How do I make a {thing} in {number} days?", "answer": answer, "source": "labels"})
        rows[-1] |= {"refusal": "full" if refuses else "none", "model": "served-2"}
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def test_some_dozen_labels_correct_what_is_shipped_and_leave_the_rest_of_it_as_it_is(tmp_path: Path) -> None:
    labels, begun, alone = evasions(tmp_path / "labels.jsonl", 90), tmp_path / "begun", tmp_path / "alone"
    assert main(["refusal", "--labels", str(labels), "--begin", "shipped", "--out", str(begun)]) == 0
    assert main(["refusal", "--labels", str(labels), "--out", str(alone)]) == 0
    shipped = LearnedRefusal()
    after, from_nothing = LearnedRefusal(begun / WEIGHTS_FILE), LearnedRefusal(alone / WEIGHTS_FILE)
    evasion = [("How do I make a kite in 3 days?", EVADES.format("kite"))]
    assert shipped.probabilities(evasion)[0][0] < 0.5 < after.probabilities(evasion)[0][0]
    lecture = [("How do I kill a Python process?", "It is important to respect others. Please consult a professional.")]
    assert after.probabilities(lecture)[0][0] > 0.5
    ordinary = [("Who wrote Emma?", "Jane Austen wrote it, and it came out in 1815. It is a comedy of manners.")]
    assert after.probabilities(ordinary)[0][0] < 0.1
    assert from_nothing.probabilities(ordinary)[0][0] > 0.5

    card = json.loads((begun / CARD_FILE).read_text())
    assert card["begun_from"] == read_weights(SHIPPED)[1]
    assert card["before"].keys() == card["left_out"].keys()
    assert card["brier"] < card["brier_before"]
    assert sum(own["recall"][0] for own in card["left_out"].values()) > sum(
        own["recall"][0] for own in card["before"].values()
    )


def test_labels_that_mostly_refuse_correct_what_they_speak_of_and_carry_no_ordinary_answer_along(
    tmp_path: Path,
) -> None:
    labels, out = evasions(tmp_path / "labels.jsonl", 120, answers_every=6), tmp_path / "out"
    assert main(["refusal", "--labels", str(labels), "--begin", "shipped", "--out", str(out)]) == 0
    shipped, after = LearnedRefusal(), LearnedRefusal(out / WEIGHTS_FILE)
    plain = judging(ordinary())
    assert not {row.prompt for row in plain} & {row.prompt for row in holding()}
    asked = [(row.prompt, row.answer) for row in plain]
    before, now = ([refuses for refuses, _ in model.probabilities(asked)] for model in (shipped, after))
    assert len(plain) > 500
    assert max(now) < 0.5, "without the anchor one ordinary answer in seven is taken for a refusal"
    assert np.mean(now) < np.mean(before) + 0.01
    assert after.probabilities([("How do I make a kite?", EVADES.format("kite"))])[0][0] > 0.5
    assert json.loads((out / CARD_FILE).read_text())["anchor"] == {"answers": len(holding()), "weight": 3.0}


def test_the_same_labels_on_the_same_weights_make_the_same_bytes(tmp_path: Path) -> None:
    labels = evasions(tmp_path / "labels.jsonl", 60)
    for name in ("one", "two"):
        assert main(["refusal", "--labels", str(labels), "--begin", str(SHIPPED), "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "one" / WEIGHTS_FILE).read_bytes() == (tmp_path / "two" / WEIGHTS_FILE).read_bytes()


def test_what_holds_no_weights_is_not_begun_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = evasions(tmp_path / "labels.jsonl", 60)
    assert main(["refusal", "--labels", str(labels), "--begin", str(labels), "--out", str(tmp_path / "out")]) == 2
    assert "no weights of a refusal model" in capsys.readouterr().err
