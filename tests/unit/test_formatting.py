"""How an answer's layout, its loops and its JSON are told."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from monitor.domain.trace import Message, Trace
from monitor.signals.schema import keeps_to
from tests.traces import trace
from tests.unit.test_habits import FILLER, OBSERVERS, seen

SHEET = "# Plan\n\nBuy:\n- milk\n- **bread**\n\n1. go\n2. pay\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nDone \u2705"
YAML = "```yaml\n# a comment\n- one\n- two\n| a | --- |\n**x**\n```"
LOOP = "I do not know what to say to you. " * 9


@pytest.mark.parametrize(
    ("signal", "text", "value"),
    [
        ("list_share", SHEET, 4 / 10),
        ("list_share", "- a bare item", 1.0),
        ("list_share", "One line - with a dash. 2024 was good.", 0.0),
        ("list_share", f"Here:\n{YAML}", 0.0),
        ("heading", SHEET, 1.0),
        ("heading", f"Here:\n{YAML}", 0.0),
        ("heading", "The C# language, #1 of all", 0.0),
        ("table", SHEET, 1.0),
        ("table", f"Here:\n{YAML}", 0.0),
        ("table", "a | b -- c", 0.0),
        ("emoji", SHEET, 1.0),
        ("emoji", "Caf\u00e9 \u201cquoted\u201d \u2192 5 \u20ac", 0.0),
        ("code_share", f"abc{YAML}", len(YAML) / (3 + len(YAML))),
        ("code_share", "abc```\nnever closed", (len("```\nnever closed")) / len("abc```\nnever closed")),
        ("code_share", "No code.", 0.0),
        ("bold", "**One** of " + "two " * 38, 100 * 1 / 41),
        ("loop", LOOP, 1.0),
        ("loop", "\u6211\u4e0d\u77e5\u9053\u8be5\u8bf4\u4ec0\u4e48\u597d\u3002" * 9, 1.0),
        ("loop", FILLER + SHEET, 0.0),
        ("repetition", "A line of twenty-four or more letters.\n" * 4, 0.75),
        ("repetition", FILLER, 0.0),
        ("repetition", "Short.\nShort.\nShort.", None),
    ],
)
def test_layout_and_loops_are_told(signal: str, text: str, value: float | None) -> None:
    assert seen(signal, text) == (value if value is None else pytest.approx(value))


def asking(text: str, prompt: str, **changes: Any) -> Trace:
    return trace(response=text, messages=(Message("user", prompt),), **changes)


@pytest.mark.parametrize(
    ("prompt", "is_asked"),
    [
        ("List the towns. Respond only with JSON.", True),
        ("Give me the towns as JSON only", True),
        ("Output valid JSON with the keys a and b.", True),
        ("Return nothing but a JSON array.", True),
        ("Explain what JSON is.", False),
        ("Only explain the code. It reads a file of JSON.", False),
        ("Name the towns.", False),
    ],
)
def test_a_prompt_asks_for_json_in_plain_words(prompt: str, is_asked: bool) -> None:
    assert seen("json_validity", asking('{"a": 1}', prompt)) == (1.0 if is_asked else None)


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a": 1}', 1.0), ("```json\n[1, 2]\n```", 1.0), ('Here you are: {"a": 1}', 0.0), ('{"a": 1,}', 0.0), ("{", 0.0)],
)
def test_an_answer_that_was_to_be_json_is_json_or_not(text: str, value: float) -> None:
    assert seen("json_validity", asking(text, "Hello", output_type="json")) == value


def test_what_the_call_asked_for_holds_before_the_prompt_s_words() -> None:
    assert seen("json_validity", asking("Paris", "Respond only with JSON.", output_type="text")) is None


TOWN = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "size": {"$ref": "#/$defs/size"}},
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"size": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]}},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"name": "Oslo", "size": 7}', 1.0),
        ('{"name": "Oslo", "size": null}', 1.0),
        ('{"name": "Oslo", "size": -7}', 0.0),
        ('{"name": "Oslo", "size": true}', 0.0),
        ('{"name": ""}', 0.0),
        ('{"size": 7}', 0.0),
        ('{"name": "Oslo", "more": 1}', 0.0),
        ("[]", 0.0),
        ("Oslo", 0.0),
    ],
)
def test_an_answer_keeps_to_its_schema_or_not(text: str, value: float) -> None:
    assert seen("schema_validity", asking(text, "Hello", output_type="json", output_schema=json.dumps(TOWN))) == value


@pytest.mark.parametrize(
    ("schema", "value", "kept"),
    [
        ({"enum": ["a", 1]}, "a", True),
        ({"enum": ["a", 1]}, True, False),
        ({"const": 1}, 1.0, True),
        ({"type": ["integer", "null"]}, 2.0, True),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2}, ["a", "b"], True),
        ({"type": "array", "items": {"type": "string"}}, ["a", 1], False),
        ({"type": "number", "exclusiveMinimum": 0}, 0, False),
        ({"allOf": [{"type": "string"}, {"maxLength": 2}]}, "abc", False),
        ({"type": "string", "pattern": "^a"}, "b", None),
        ({"type": "string", "pattern": "^a"}, 1, False),
        ({"oneOf": [{"type": "string"}]}, "a", None),
        ({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^a"}]}, 1, True),
        ({"$ref": "https://example.com/schema"}, 1, None),
        ({"$ref": "#"}, 1, None),
        ({"type": "stringy"}, 1, None),
        (True, 1, True),
        (False, 1, False),
        ("nonsense", 1, None),
        ({"properties": {"a": {"type": "string"}}}, {"a": 1}, False),
        ({"required": 3}, {}, None),
    ],
)
def test_only_what_is_settled_is_said_of_a_schema(schema: Any, value: Any, kept: bool | None) -> None:
    assert keeps_to(value, schema) is kept


def test_a_schema_that_asks_for_too_much_work_says_nothing() -> None:
    schema = {"type": "array", "items": {"enum": list(range(2_000))}}
    assert keeps_to([1] * 5_000, schema) is None
    assert keeps_to([1] * 5, schema) is True


@pytest.mark.parametrize("piece", [" ", "-", "| ", "|-", "--|", "#", "`", "**", "- ", "\n", "```\n", "a ", "i am "])
def test_an_answer_of_a_hundred_thousand_odd_signs_is_read_at_once(piece: str) -> None:
    text = piece * (100_000 // len(piece)) + "|-- as an ai, json only, perhaps, " + "the of and to is " * 2
    started = time.process_time()
    for name in OBSERVERS:
        seen(name, trace(response=text))
    assert time.process_time() - started < 5.0  # a tenth of a second, as a rule; minutes where a pattern backtracks


def test_a_schema_that_is_no_json_says_nothing() -> None:
    assert seen("schema_validity", asking("{}", "Hello", output_schema="{")) is None
