"""Bursts of alike traces reach a detector once."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from monitor.domain.trace import Message, Trace
from monitor.observe import repeat
from monitor.observe.repeat import InMemoryRepeats, mark_repeats
from tests.traces import START, trace

WINDOW = timedelta(hours=1)


def asked(prompt: str, after: timedelta = timedelta(), **changes: object) -> Trace:
    return trace(0, messages=(Message("user", prompt),), timestamp=START + after, **changes)


def marked(*traces: Trace, window: timedelta = WINDOW) -> list[bool]:
    return mark_repeats(traces, {}, window)


def test_the_same_prompt_or_the_same_conversation_is_observed_once_in_a_window() -> None:
    assert marked(asked("a"), asked("b"), asked("a")) == [False, False, True]
    assert marked(asked("a", conversation_id="c"), asked("b", conversation_id="c")) == [False, True]
    assert marked(asked("a", window_end := WINDOW - timedelta(microseconds=1)), asked("a", window_end)) == [False, True]


def test_the_window_runs_from_the_last_counted_trace_and_not_from_its_repeats() -> None:
    steps = [timedelta(minutes=minutes) for minutes in (0, 40, 60, 100, 120)]
    assert marked(*(asked("a", step) for step in steps)) == [False, True, False, True, False]


def test_another_policy_model_s_answer_to_the_same_prompt_is_no_repeat() -> None:
    assert marked(asked("a"), asked("a", policy_model="new")) == [False, False]


def test_a_trace_without_prompt_and_conversation_is_never_a_repeat() -> None:
    bare = trace(0, messages=())
    assert marked(bare, bare) == [False, False]


def test_prompts_are_told_apart_by_their_parts_and_roles() -> None:
    texts = [(("user", "ab"),), (("user", "a"), ("user", "b")), (("user", "a"), ("", "userb")), (("system", "ab"),)]
    traces = [trace(0, messages=tuple(Message(*part) for part in parts)) for parts in texts]
    assert marked(*traces) == [False] * 4


def test_a_window_of_nothing_marks_nothing() -> None:
    assert marked(asked("a"), asked("a"), window=timedelta()) == [False, False]


def test_old_keys_are_forgotten_without_a_change_inside_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeat, "MAX_REMEMBERED", 1)
    memory, last = InMemoryRepeats(WINDOW), dict[bytes, datetime]()
    old, new = asked("old"), asked("new", timedelta(hours=3))
    mark_repeats([old, new], last, WINDOW)
    memory.remember(last)
    assert set(memory.last_counted({*old.repeat_keys(), *new.repeat_keys()})) == set(new.repeat_keys())


def test_the_keys_are_those_that_earlier_releases_stored() -> None:
    item = asked("Größe?", conversation_id="c-1")
    assert [key.hex() for key in item.repeat_keys()] == [
        "f1e8427ea88ce11b5bef817b043f5f90",
        "cd01b667929ed5e25f2c3935626fbf66",
    ]
