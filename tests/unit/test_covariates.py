"""Covariates: read from any prompt, and the same after the log as before it."""

from __future__ import annotations

import time
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.covariates import LANGUAGES, Covariates
from monitor.domain.observation import LogEntry, Source, Subjects
from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.observe.covariates import covariates_of
from monitor.observe.gather import gather
from monitor.offline.log import InMemoryLog
from tests.traces import scored, trace

TEXTS = st.text(st.characters(), max_size=400)  # lone surrogates and NUL among them
MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant", "developer", "tool", ""]), TEXTS), max_size=4
)
PROMPTS = {
    "en": "What is the capital of France?",
    "es": "¿Cuál es la capital de Francia y por qué?",
    "fr": "Quelle est la capitale de la France, et pourquoi ?",
    "de": "Schreibe mir bitte ein Gedicht über den Herbst.",
    "pt": "Qual é a capital da França e como chego lá?",
    "it": "Qual è la capitale della Francia e come ci arrivo?",
    "ru": "Какая столица у Франции и как туда доехать?",
    "uk": "Яка столиця Франції і як туди дістатися?",
    "ar": "ما هي عاصمة فرنسا؟",
    "fa": "پایتخت فرانسه کجاست و چگونه می‌توانم به آنجا بروم؟",
    "hi": "फ्रांस की राजधानी क्या है?",
    "th": "เมืองหลวงของฝรั่งเศสคืออะไร",
    "ko": "프랑스의 수도는 어디인가요?",
    "ja": "フランスの首都はどこですか。東京都知事選挙",
    "zh": "法国的首都是哪里?请写一首诗。",
    "": "xqzt 1234 {}[] foo(bar)",
}


def of_prompts(*texts: str) -> Covariates:
    traces = [trace(number, messages=(Message("user", text),)) for number, text in enumerate(texts)]
    return covariates_of(traces, ["a"] * len(texts), [False] * len(texts))


def ids(found: Covariates, row: int) -> set[int]:
    return set(found.sketch[found.sketch_starts[row] : found.sketch_starts[row + 1]].tolist())


def same(left: Covariates | None, right: Covariates | None) -> bool:
    assert left is not None
    assert right is not None
    return all(
        np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f") and mine.dtype == theirs.dtype
        if isinstance(mine := getattr(left, field.name), np.ndarray)
        and isinstance(theirs := getattr(right, field.name), np.ndarray)
        else getattr(left, field.name) == getattr(right, field.name)
        for field in fields(Covariates)
    )


@given(
    st.lists(
        st.tuples(MESSAGES, st.sampled_from(["a", "b=\udc80", "*"]), st.booleans(), st.integers(0, 10**9) | st.none())
    ),
    st.integers(0, 3),
)
def test_any_traces_covariates_come_back_as_they_were_written(
    rows: list[tuple[list[Message], str, bool, int | None]], width: int
) -> None:
    traces = [trace(messages=tuple(messages), input_tokens=tokens) for messages, _, _, tokens in rows]
    found = covariates_of(traces, [row[1] for row in rows], [row[2] for row in rows])
    if width:
        found = replace(found, embedding=np.full((len(rows), width), 0.5, np.float16), embedder="minilm-1")
    assert same(Covariates.decode(found.encode(), found.version), found)
    sizes = np.diff(found.sketch_starts)
    assert sizes.max(initial=0) <= 94
    assert all(np.all(np.diff(part.astype(int)) > 0) for part in np.split(found.sketch, found.sketch_starts[1:-1]))


@given(st.lists(TEXTS, min_size=1, max_size=6), st.data())
def test_cutting_and_joining_changes_nothing(texts: list[str], data: st.DataObject) -> None:
    found = of_prompts(*texts)
    cut = data.draw(st.integers(0, len(texts)))
    parts = [found.between(0, cut), found.between(cut, len(texts))]
    assert same(Covariates.join(parts), found)


def test_joined_parts_share_their_cohorts_names_and_only_one_embedders_embeddings() -> None:
    left = covariates_of([trace(0), trace(1)], ["b", "c"], [False, True])
    right = covariates_of([trace(2)], ["a"], [False])
    joined = Covariates.join([left, right])
    assert [joined.cohorts[code] for code in joined.cohort_codes] == ["b", "c", "a"]
    assert joined.observed.tolist() == [True, False, True]
    embedded = [replace(part, embedding=np.ones((len(part), 2), np.float16), embedder="one") for part in (left, right)]
    both = Covariates.join(embedded)
    assert both.embedding is not None
    assert both.embedding.shape == (3, 2)
    assert both.embedder == "one"
    assert Covariates.join([embedded[0], replace(embedded[1], embedder="two")]).embedding is None
    part = Covariates.join([embedded[0], right]).embedding
    assert part is not None
    assert np.isnan(part).any(axis=1).tolist() == [False, False, True]


def test_a_version_of_another_release_is_named() -> None:
    with pytest.raises(InvalidInput, match="version 'prompt-9\\+minilm' in the log: this release reads 'prompt-1'"):
        Covariates.decode(b"", "prompt-9+minilm")


def test_the_hash_of_a_prompt_is_the_same_on_every_machine() -> None:
    found = of_prompts("Say hello", "")
    assert found.sketch.tolist() == [12014, 24748, 37014]
    assert found.sketch_starts.tolist() == [0, 3, 3]


def test_only_the_words_at_the_ends_count_in_any_case() -> None:
    words = [f"word{number}" for number in range(100)]
    text = " ".join(words)
    changed = " ".join([*words[:40], "other", *words[41:]]).upper()
    first, second, third = (ids(of_prompts(text, changed, "0 " + text), row) for row in range(3))
    assert first == second != third
    assert len(first) == 94
    assert len(first & third) > 80


@pytest.mark.parametrize(("language", "text"), PROMPTS.items(), ids=lambda value: value[:12])
def test_the_language_of_a_sentence_is_guessed(language: str, text: str) -> None:
    assert LANGUAGES[of_prompts(text).languages[0]] == language


def test_a_script_without_spaces_has_a_word_a_character() -> None:
    found = of_prompts("法国的首都", "the capital of France", "法国的首府")
    assert found.prompt_words.tolist() == [6, 4, 6]
    assert len(ids(found, 0)) == 9
    assert len(ids(found, 0) & ids(found, 2)) == 7


def test_the_last_user_message_is_the_prompt_and_the_system_prompt_the_context() -> None:
    talk = (Message("user", "first of all"), Message("assistant", "yes"), Message("user", "one two"))
    on_sunday, on_monday, other = (
        Message("system", text) for text in ("It is the 1st.", "It is the 2st.", "Be brief.")
    )
    prompts = [talk, (on_sunday, *talk), (on_monday, *talk), (other, *talk), (on_sunday,), ()]
    traces = [trace(number, messages=messages) for number, messages in enumerate(prompts)]
    found = covariates_of([*traces, trace(9, input_tokens=None)], ["a"] * 7, [False] * 7)
    assert found.turns.tolist() == [2, 2, 2, 2, 0, 0, 1]
    assert found.prompt_words[:5].tolist() == [2, 2, 2, 2, 4]
    assert np.isnan(found.prompt_words[5])
    assert found.input_tokens[:6].tolist() == [12] * 6
    assert np.isnan(found.input_tokens[6])
    assert found.contexts[[0, 5, 6]].tolist() == [0, 0, 0]
    assert found.contexts[1] == found.contexts[2] == found.contexts[4] != found.contexts[3]
    assert min(found.contexts[1:5]) > 0


@pytest.mark.parametrize("unit", ["a", "word ", "\x00", "\udc80", "法", "é́", "😀 "], ids=ascii)
def test_a_prompt_of_two_million_characters_is_read_within_a_second(unit: str) -> None:
    text = unit * (2_000_000 // len(unit))
    start = time.process_time()  # whoever else is busy on the machine
    found = covariates_of([trace(messages=(Message("system", text), Message("user", text)))], ["a"], [False])
    assert time.process_time() - start < 1.0
    assert np.diff(found.sketch_starts)[0] <= 94
    assert len(found.encode()) < 250


def test_a_log_in_memory_tells_the_covariates_of_any_places() -> None:
    log = InMemoryLog()
    items = scored([trace(number) for number in range(10)])
    for part in (items[:4], items[4:7], items[7:]):
        log.append(gather(part))
    window = log.subjects(2, 9)
    assert window.places.tolist() == list(range(2, 9))
    assert same(window.covariates, gather(items).subjects.decoded.between(2, 9))  # type: ignore[union-attr]
    assert window.timestamps.tolist() == gather(items).subjects.timestamps[2:9].tolist()


def test_traces_of_an_earlier_release_leave_a_window_without_covariates_and_other_sources_do_not() -> None:
    log = InMemoryLog()
    entry = gather(scored([trace(0), trace(1)]))
    bare = Subjects(entry.subjects.ids, entry.subjects.timestamps)
    log.append(entry)
    log.append(LogEntry(Source.CLOCK, bare))
    assert (known := log.subjects(0, 4).covariates) is not None
    assert known.observed.tolist() == [True, True, False, False]
    log.append(LogEntry(Source.TRACES, bare))
    assert log.subjects(0, 5).covariates is None
    assert log.subjects(0, 5).places.tolist() == [0, 1, 2, 3, 4]
    assert log.subjects(7, 9).places.tolist() == []
