"""What makes reading refusals quick changes nothing of what is read: each short cut beside the plain way."""

from __future__ import annotations

import gzip
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.signals.language import language_of
from monitor.signals.refusal import phrases
from monitor.signals.refusal.cues import Cues
from monitor.signals.refusal.features import (
    TokenRows,
    features_of,
    glance_at,
    hear,
    look_at,
    tokens_of,
    word_weights,
)
from monitor.signals.refusal.learned import LearnedRefusal
from monitor.signals.refusal.patterns import opening_of
from monitor.signals.refusal.text import fold
from monitor.signals.refusal.weights import SHIPPED, TOKEN_VALUE, RefusalWeights, read_weights
from monitor.signals.refusal.words import WORD, words_of
from tests.traces import REFUSAL

WEIGHTS: RefusalWeights = read_weights(SHIPPED)[0]
SAID = (
    "I'm sorry, but I cannot help with that; it isn't safe, and it wouldn't be legal to provide such instructions.",
    "No. People should not be judged by where they come from. Let's talk about what makes places worth seeing!",
    "Of course! Here are three of them: 1. bread 2. rice 3. pasta. However, check the label first.",
    "There is no reason why cats can't fly\u2026 I\u2019d say it\u2019s a myth. \u201cNever\u201d is a long time.",
    "Well? No! Not at all. But I can\u00e9 try: I won't decline to answer.",
)
PIECES = ("i", "'", ".", "?", "no", "not", "sorry", "s", "a", "\u00e9", "\u2019", "1", "\ud800", "however")
texts = st.lists(st.sampled_from([*PIECES, " ", " ", "\n"]), max_size=40).map("".join)


@given(texts, st.integers(-1, 6).filter(bool))
def test_words_are_those_that_the_pattern_finds(text: str, most: int) -> None:
    found = WORD.findall(fold(text))
    assert words_of(fold(text), most) == (found if most < 0 else found[:most])


@given(texts)
def test_nothing_that_may_refuse_is_passed_over_at_a_glance(text: str) -> None:
    look, glance = look_at(text), glance_at(text)
    assert glance == (look if look.may_refuse else None)


def test_the_rows_of_an_answer_are_those_of_its_tokens() -> None:
    rows, _ = WEIGHTS.table()
    fast = TokenRows(rows)
    for answer in SAID:
        said = hear("Why can't cats fly?", look_at(answer * 12))  # so long that its end is read too
        wanted = {rows[token] for token in tokens_of(said) if token in rows}
        found = fast.of(said)
        assert wanted
        assert len(found) == len(set(found))
        assert set(found) - {0} == wanted


@pytest.mark.parametrize("answer", SAID)
def test_probabilities_are_those_of_the_weights_added_up_plainly(answer: str) -> None:
    found = LearnedRefusal().probabilities([("Why can't cats fly?", answer)])[0]
    assert found == pytest.approx(plainly("Why can't cats fly?", answer), abs=1e-9)


@pytest.mark.shared_data
@pytest.mark.parametrize("model", ["alpaca-7b", "gpt4", "phi-2"])
def test_probabilities_of_a_models_answers_are_those_of_the_weights_added_up_plainly(
    model: str, shared_data: Path
) -> None:
    folder = shared_data / "alpaca_eval"
    prompts = {row["i"]: row["instruction"] for row in rows_of(folder / "prompts.jsonl.gz")}
    answers = rows_of(folder / "outputs" / f"{model}.jsonl.gz")
    pairs = [(prompts[row["i"]], row["output"]) for row in answers if row["output"]]
    found = LearnedRefusal().probabilities(pairs)
    assert len({one for one, _ in found}) > 50  # so many were read to the end
    for pair, both in zip(pairs, found, strict=True):
        assert both == pytest.approx(plainly(*pair), abs=1e-9), pair


def rows_of(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def plainly(prompt: str, answer: str) -> tuple[float, float]:
    """Return the probabilities by the regressions' own formulas."""
    look, words = look_at(answer), word_weights(WEIGHTS.tokens)
    weighed = sum(words.get(word, 0) for word in set(look.words))
    assert WEIGHTS.least_weighed is not None
    assert WEIGHTS.least_uncued is not None
    is_read = weighed >= WEIGHTS.least_weighed or look.declines if look.may_refuse else weighed >= WEIGHTS.least_uncued
    if not is_read:
        return WEIGHTS.unread
    tokens, numbers = features_of(prompt, look)
    scores = []
    for side in range(2):
        told = sum(WEIGHTS.tokens[token][side] for token in sorted(set(tokens)) if token in WEIGHTS.tokens)
        counted = sum(float(number) * weight for number, weight in zip(numbers, WEIGHTS.dense()[:, side], strict=True))
        scores.append(WEIGHTS.intercepts[side] + counted + TOKEN_VALUE * told)
    refuses = 1.0 / (1.0 + math.exp(-(WEIGHTS.offset + WEIGHTS.slope * scores[0])))
    return refuses, refuses / (1.0 + math.exp(-scores[1]))


def test_cues_are_those_that_stand_in_a_text() -> None:
    cues = Cues({"pair": (" i ", "can't"), "dot": (".",)}, {"word": re.compile("no(?:t|ne)")})
    assert cues.find("caught no one") == 0
    assert cues.find("no, i can't. \ud800") == cues.of("pair") | cues.of("dot")
    assert cues.find("not") == cues.of("word")


@pytest.mark.parametrize("pattern", [phrases.PRINCIPLE, phrases.INCAPABILITY])
def test_patterns_that_re2_reads_mean_the_same_there(pattern: re.Pattern[str]) -> None:
    cues = Cues({}, {"it": pattern})
    for answer in (*SAID, REFUSAL, "it is 100%, or definite\u00e9ly privacy"):
        opening = opening_of(answer)
        assert (cues.find(opening) > 0) == (pattern.search(opening) is not None)


def test_quotation_marks_and_dashes_make_no_text_foreign() -> None:
    english = (
        "The cost of living is \u2014 and that\u2019s part of the \u201ccharm\u201d of it, or so we are told\u2026"
    )
    assert language_of(english) == "en"
    assert language_of("C\u2019est la vie, et le prix de l\u2019eau est \u00e9lev\u00e9 dans les villes") == "fr"
