"""What the signals of an answer's words read: what they find, what only looks like it, and what says nothing."""

from __future__ import annotations

import pytest

from monitor.domain.signal import SignalKind
from monitor.domain.trace import Message, Trace
from monitor.signals.habits import HABITS
from tests.traces import trace

FILLER = " The card is in the drawer of the desk, and the key to it is under the mat by the door."
OBSERVERS = {signal.name: observe for signal, observe in HABITS.items()}
FOUND = {
    "apology": [
        "I apologize for the confusion in my last answer. The capital of the country is Rome, and it is old.",
        "Sorry, but the file is not in the list of the ones that I can see. It is in the other folder.",
        "My apologies for the delay. The parcel is on the way to you, and it is due on the first of May.",
        "I\u2019m sorry to hear that the screen is broken. It is the fault of the cable, and of the plug.",
    ],
    "praise": [
        "What a great question! The sky is blue because of the way the air scatters the light of the sun.",
        "Great question! The sky is blue because of the way the air scatters the light of the sun.",
        "That's a really insightful observation. The sky is blue because of the light of the sun.",
        "I love your idea. The first step is to write the plan to the end, and to ask the others.",
    ],
    "agreement": [
        "You're absolutely right, and I missed it. The sum of the two is nine, and not to be eight.",
        "You are correct. The sum of the two is nine, and the rest of it is to be paid in the end.",
        "I completely agree with you. The tax is too high, and the rest of the plan is to be dropped.",
        "I couldn't agree more. The tax is too high, and the rest of the plan is to be dropped.",
    ],
    "self_reference": [
        "As an AI language model, I do not have the feelings of a person, and this is to be said.",
        "I'm an AI, so the news of today is not known to me, and neither is the weather of the town.",
        "The news is not known: my training data ends in the spring of the year, and this is to be said.",
        "As a large language model, I do not see the page, and the link to it is of no use to me.",
    ],
    "disclaimer": [
        "Take the pill with the meal. Please consult with a qualified healthcare professional to be sure of it.",
        "The rule is in the second part of the act. This is not legal advice, and is to be read as such.",
        "The loan is cheap. You may want to speak with your financial advisor on the terms of it and the rest.",
        "Seek professional help if the pain is in the chest, and go to the doctor of the town.",
    ],
}
NOT_FOUND = {
    "apology": [
        "Dear Ann, the letter is done." + FILLER * 4 + " I am sorry for the wait.",
        "The sorry state of the road is to be seen from the hill, and the mayor is to blame for it.",
    ],
    "praise": [
        "The question is great in size, and the idea of the paper is to split it into the parts of it.",
        "A good choice of the words is the key to the story, and the end of it is to be open.",
    ],
    "agreement": [
        "The right answer is the third one, and the rest of the list is to be left to the reader.",
        "Certainly! The list of the towns is below, and the map of them is to be found on the site.",
        "I agree to the terms, said the man, and the pen is in the hand of the clerk.",
    ],
    "self_reference": [
        "The company sells an AI to the banks of the city, and the price of it is to be paid in gold.",
        "A language model is a program that tells the next word of a text, and it is trained to do so.",
    ],
    "disclaimer": [
        "The consultant is in the office, and the plan of the house is to be seen on the wall.",
        "The not so large room is to the left of the hall, and the kitchen is to the right of it.",
    ],
}


def seen(signal: str, answer: Trace | str) -> float | None:
    found = OBSERVERS[signal](answer if isinstance(answer, Trace) else trace(response=answer))
    assert found is None or found.signal == signal
    return None if found is None else found.value


@pytest.mark.parametrize(("signal", "text"), [(name, text) for name, texts in FOUND.items() for text in texts])
def test_a_phrase_is_found(signal: str, text: str) -> None:
    assert seen(signal, text) == 1.0


@pytest.mark.parametrize(("signal", "text"), [(name, text) for name, texts in NOT_FOUND.items() for text in texts])
def test_what_only_looks_like_a_phrase_is_not_found(signal: str, text: str) -> None:
    assert seen(signal, text) == 0.0


def test_hedges_and_words_without_doubt_are_counted_in_100_words() -> None:
    unsure = "Perhaps the key is in the desk, and it may be that the card is too." + FILLER
    sure = "The key is definitely in the desk, and of course the card is always there." + FILLER
    words = len(unsure.split())
    assert seen("hedging", unsure) == pytest.approx(100.0 * 2 / words)
    assert seen("confidence", unsure) == 0.0
    assert seen("confidence", sure) == pytest.approx(100.0 * 3 / len(sure.split()))
    assert seen("hedging", sure) == 0.0


def test_an_opening_yes_is_no_confidence() -> None:
    assert seen("confidence", "Certainly! The list is below, and the rest is to follow." + FILLER) == 0.0


def test_a_rate_of_a_few_words_says_nothing() -> None:
    assert seen("hedging", "Perhaps the end of the road is to the left.") is None


@pytest.mark.parametrize("signal", [*FOUND, "hedging", "confidence"])
@pytest.mark.parametrize(
    "text",
    [
        "Es tut mir leid, aber die Datei ist nicht da, und ich kann sie nicht finden. Sie ist in dem Schrank.",
        "申し訳ありませんが、そのファイルは見つかりません。",
        "42",
    ],
    ids=["German", "Japanese", "a number"],
)
def test_words_of_another_language_say_nothing(signal: str, text: str) -> None:
    assert seen(signal, text) is None


@pytest.mark.parametrize("signal", OBSERVERS)
def test_an_answer_without_text_says_nothing(signal: str) -> None:
    assert seen(signal, trace(response=None, error="boom")) is None


@pytest.mark.parametrize("signal", sorted(OBSERVERS.keys() - {"apology", "praise", "agreement"}))
def test_a_text_that_was_cut_on_its_way_says_nothing(signal: str) -> None:
    assert seen(signal, trace(response="Perhaps." + FILLER * 3, truncated=True)) is None


def test_an_opening_that_is_there_is_read_though_the_rest_was_cut() -> None:
    cut = trace(response="Great question! The sky is blue." + FILLER * 8, truncated=True)
    assert seen("praise", cut) == 1.0


def test_thoughts_are_not_the_answer() -> None:
    thought = "<think>You are right, I am sorry.</think>\n" + "The sum of the two is nine, and this is to be kept."
    assert seen("apology", thought) == seen("agreement", thought) == 0.0
    assert seen("self_reference", "<think>As an AI I never ended to think of the rest and") is None


@pytest.mark.parametrize(
    ("prompt", "answer", "value"),
    [
        ("What is the way to the station?", "It is to the left of the bridge, and then down the road.", 0.0),
        ("¿Cómo puedo ir a la estación desde aquí?", "It is to the left of the bridge, and down the road.", 1.0),
        ("¿Cómo puedo ir a la estación desde aquí?", "Está a la izquierda del puente, y luego por la calle.", 0.0),
        ("这座桥在哪里?", "它在城市的北边。", 0.0),
        ("这座桥在哪里?", "It is in the north of the city, and the road to it is new.", 1.0),
        ("What is the way to the station?", "42", None),
        ("x = 1", "The value of x is one, and it is set in the first line of the code.", None),
    ],
)
def test_the_answer_s_language_is_compared_with_the_prompt_s(prompt: str, answer: str, value: float | None) -> None:
    asked = trace(response=answer, messages=(Message("user", prompt),))
    assert seen("language_mismatch", asked) == value


def test_what_the_answer_says_again_of_the_prompt_is_a_share_of_it() -> None:
    prompt = "Write a polite letter to my neighbour about the noise that his dog makes at night."
    asked = (Message("system", "Be brief."), Message("user", prompt))
    assert seen("prompt_copy", trace(response=f"{prompt.upper()} Here it is.", messages=asked)) == 1.0
    assert seen("prompt_copy", trace(response="Dear neighbour, your dog is loud.", messages=asked)) == 0.0
    half = seen("prompt_copy", trace(response=prompt[: len(prompt) // 2] + "...", messages=asked))
    assert half is not None
    assert 0.2 < half < 0.7
    assert seen("prompt_copy", trace(response="Hi.", messages=(Message("user", "Hi there"),))) is None


def test_every_habit_has_a_meaning_and_a_name_of_its_own() -> None:
    assert len(OBSERVERS) == len(HABITS)
    assert all(signal.meaning and signal.unit for signal in HABITS)
    binary = {signal.name for signal in HABITS if signal.kind is SignalKind.BINARY}
    long = "Perhaps it is so, and the rest is to be seen.\n" * 12
    for name in binary:
        assert seen(name, long) in {None, 0.0, 1.0}
