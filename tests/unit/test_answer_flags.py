"""What is wrong with an answer by its form: loops are found, and what only repeats a pattern is none."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from monitor.runs.evidence import CUT, EMPTY, FENCE, LIST, LOOP, MARKER
from monitor.signals.repetition import LONGEST_PERIOD, LOOP_TIMES, LOOP_WORDS, REPEATED_GRAMS, is_looping
from retrain.answer_flags import flags_of

PROSE = (
    "Open the settings of your account and choose the card. You can change the name on it, its limit and the address"
    " that bills go to. When you have saved the change, a mail tells you so; without one, ask us again tomorrow."
)
LOOPING = {
    "one word": "the answer is " + "very " * 40,
    "a sentence": "I do not know what to say. " * 6,
    "a counted list": "\n".join(f"{number}. Be kind to the people around you." for number in range(1, 9)),
    "after good prose": PROSE + " and then press the button" * 5,
    "without spaces": "我不知道该说什么好。" * 5,
    "lines in another order": "\n".join(
        f"- {one} goes to the market with {other} on a fine day" for one in ("Ann", "Bob") for other in ("Cyd", "Dan")
    )
    * 3,
}
PLAIN = {
    "prose": PROSE,
    "nothing": "",
    "a short refrain": "Row, row, row your boat, row, row, row your boat, gently down the stream.",
    "an empty table": "| Season | Time | Game | Score |\n|---|---|---|---|\n" + "| | | | |\n" * 12,
    "a table of numbers": "\n".join(f"| {number} | {number * 7} | {number * 31} |" for number in range(20)),
    "steps": "\n".join(f"Step {number}: {word} the box." for number, word in enumerate(PROSE.split()[:8], start=1)),
    "code": "for a in rows:\n    total += a.price\nfor b in columns:\n    total += b.width\nprint(total)",
}


@pytest.mark.parametrize("text", LOOPING.values(), ids=LOOPING)
def test_what_goes_round_in_circles_is_a_loop(text: str) -> None:
    assert is_looping(text)


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
def test_what_only_repeats_a_pattern_is_no_loop(text: str) -> None:
    assert not is_looping(text)


def goes_round(words: list[str]) -> bool:
    """Say what `is_looping` says, by trying every period on every word."""
    for period in range(1, min(LONGEST_PERIOD, len(words) // LOOP_TIMES) + 1):
        run = 0
        for before, word in zip(words, words[period:], strict=False):
            run = run + 1 if word == before else 0
            if run + period >= max(LOOP_WORDS, LOOP_TIMES * period):
                return True
    grams = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return len(words) >= 50 and 1.0 - len(set(grams)) / len(grams) > REPEATED_GRAMS


def test_every_loop_is_found_that_trying_every_period_finds() -> None:
    rng = random.Random(1)
    looping = 0
    for _ in range(1_500):
        vocabulary = [chr(97 + letter) * 2 for letter in range(rng.choice([2, 3, 5, 26]))]
        period = rng.choices(vocabulary, k=rng.randint(1, 40))
        words = rng.choices(vocabulary, k=rng.randint(0, 60)) + period * rng.randint(2, 4)
        words += period[: rng.randint(0, len(period))] + rng.choices(vocabulary, k=rng.randint(0, 60))
        looping += goes_round(words)
        assert is_looping(" ".join(words)) is goes_round(words)
    assert 300 < looping < 1_400


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (PROSE, ()),
        ("  \n", (EMPTY,)),
        ("Run this:\n```sh\nmake", (FENCE,)),
        ("Run this:\n```sh\nmake\n```\nand wait.", ()),
        ("Yes.<|im_start|>user\nwhat next?", (MARKER,)),
        ("Yes.\nHuman: and what next?", (MARKER,)),
        ("A turn begins with `<|im_start|>` there.", ()),
        ("You need:\n1. a card\n2. a pen\n3.", (LIST,)),
        ("You need:\n- a card\n- ", (LIST,)),
        ("The year was\n1999.", ()),
    ],
)
def test_an_answer_that_is_broken_says_how(text: str, found: tuple[str, ...]) -> None:
    assert flags_of(text, cut=False) == found
    assert set(flags_of(text, cut=True)) == {*found, CUT}


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("model", "least", "most"), [("gpt4_0314", 0, 2), ("gpt-3.5-turbo-0613", 0, 2), ("phi-2", 15, 40)]
)
def test_real_models_loop_as_often_as_they_are_known_to(model: str, least: int, most: int, shared_data: Path) -> None:
    with gzip.open(shared_data / "alpaca_eval" / "outputs" / f"{model}.jsonl.gz", "rt", encoding="utf-8") as lines:
        looping = sum(LOOP in flags_of(json.loads(line)["output"], cut=False) for line in lines)
    assert least <= looping <= most  # of 805
