"""Messages with nothing but text are read by a short cut, and come to what the long way makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.ingest.formats.genai_chat import Chat, read_plain

texts = st.sampled_from(["", " ", "A.", "two\nlines", "[redacted]", "caf\u00e9 \U0001f600"])
parts = st.fixed_dictionaries({"type": st.just("text"), "content": texts})
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["", "user", "assistant", "system"]), "parts": st.lists(parts, max_size=3)},
    optional={"finish_reason": st.sampled_from(["", "stop", None])},
).map(lambda message: {"role": message["role"], **message})  # first, as producers write it


def asked(value: Any) -> Chat:
    chat = Chat()
    chat.ask(value)
    return chat


def answered(value: Any) -> Chat:
    chat = Chat()
    chat.answer(value)
    return chat


@given(st.lists(messages, min_size=1, max_size=3))
def test_plain_messages_come_to_what_the_long_way_makes_of_them(said: list[dict[str, Any]]) -> None:
    text = json.dumps(said)
    assert read_plain(text) is not None
    assert asked(text) == asked(said)  # what is parsed already goes the long way
    assert answered(text) == answered(said)


@pytest.mark.parametrize(
    "said",
    [
        [{"role": "user", "content": "Q?"}],
        [{"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "rain"}]}],
        [{"role": "assistant", "parts": [{"type": "tool_call", "name": "weather", "arguments": {}}]}],
        [{"role": "user", "parts": [{"type": "text", "content": "Q?"}], "tool_calls": [{}]}],
        [{"role": "user", "parts": [{"type": "text", "content": "half \ud83d"}]}],
        [{"role": "user", "parts": [{"type": "text", "content": "cut"}]}, "and a text"],
    ],
)
def test_all_others_go_the_long_way(said: list[Any]) -> None:
    assert read_plain(json.dumps(said)) is None
    assert asked(json.dumps(said)) == asked(said)
    assert answered(json.dumps(said)) == answered(said)
