"""Attributes and bodies of any shape: each is read, or passed over."""

from __future__ import annotations

import json
import random
from typing import Any

from monitor.ingest.decode import check_part
from monitor.ingest.formats.genai import part_of_line, part_of_span
from monitor.ingest.formats.genai_events import read_evaluation
from monitor.ingest.formats.otlp_wire import LogLine, Span, SpanEvent
from monitor.ingest.part import PartKind
from tests.otlp import LIMITS

FIELDS = ["role", "content", "parts", "type", "text", "message", "messages", "choices", "tool_calls", "finish_reason"]
FIELDS += [
    "response",
    "result",
    "output",
    "index",
    "input",
    "model",
    "metadata",
    "tags",
    "session_id",
    "user",
    "refusal",
]
NAMES = ["gen_ai.operation.name", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"]
NAMES += ["gen_ai.response.finish_reasons", "gen_ai.usage.output_tokens", "gen_ai.response.model", "gen_ai.prompt"]
NAMES += ["gen_ai.prompt.0.content", "gen_ai.completion.0.content", "gen_ai.completion.0.tool_calls.0.name", "metadata"]
NAMES += ["openinference.span.kind", "llm.output_messages.0.message.contents.0.message_content.text", "input.value"]
NAMES += [
    "llm.input_messages.1.message.role",
    "output.value",
    "llm.invocation_parameters",
    "tag.tags",
    "team",
    "user.id",
]
NAMES += ["ai.operationId", "ai.prompt.messages", "ai.response.toolCalls", "langfuse.observation.type", "error.type"]
NAMES += ["langfuse.observation.usage_details", "event.name", "gen_ai.event.content", "message", "content", "index"]
NAMES += ["gen_ai.evaluation.name", "gen_ai.evaluation.score.value", "gen_ai.evaluation.score.label", "session.id"]
NAMES += ["user.id", "llm.request.type", "llm.token_count.completion", "gen_ai.request.id"]
EVENTS = ["gen_ai.choice", "gen_ai.user.message", "gen_ai.tool.message", "gen_ai.content.prompt", "exception", ""]
EVENTS += ["gen_ai.content.completion", "gen_ai.client.inference.operation.details", "gen_ai.evaluation.result"]
WORDS = ["chat", "LLM", "generation", "text", "tool_call", "tool_result", "reasoning", "assistant", "function_call"]

LEAVES = [None, True, 0, -1, 7, 10**20, 0.5, float("nan"), "", " ", "x", "[", "{}", "\ud800", "redacted", *WORDS]
CASES = 20_000


def any_value(generator: random.Random, depth: int = 0) -> Any:
    """Return a value of any shape, sometimes as text."""
    kind = generator.randrange(2 if depth > 3 else 6)
    if kind < 3:
        return generator.choice(LEAVES)
    children = [any_value(generator, depth + 1) for _ in range(generator.randrange(4))]
    found: Any = children if kind == 3 else {generator.choice(FIELDS): child for child in children}
    as_text = generator.randrange(8)
    if as_text < 2:
        return json.dumps(found) if as_text else str(found)
    return found


def any_attributes(generator: random.Random) -> dict[str, Any]:
    return {generator.choice(NAMES): any_value(generator) for _ in range(generator.randrange(12))}


def test_values_of_any_shape_are_read_or_passed_over() -> None:
    generator, calls, told, labels = random.Random(7), 0, 0, 0
    for _ in range(CASES):
        seen = [
            SpanEvent(generator.choice(EVENTS), place, any_attributes(generator), any_value(generator))
            for place in range(generator.randrange(3))
        ]
        span = Span("a" * 32, "b" * 16, "", "call", 1, 2, any_attributes(generator), {}, seen, True, "", 1)
        part = part_of_span(span, LIMITS.label_keys)
        check_part(part, LIMITS)
        calls += part.kind is PartKind.CALL
        told += part.response is not None
        for event in seen:
            found = part_of_line(LogLine(span.trace, span.span, event, {}, 0), LIMITS.label_keys)
            assert found is None or found.kind is PartKind.CONTENT
            label = read_evaluation(event, "a call")
            assert label is None or 0 <= label.value <= 1
            labels += label is not None
    assert min(calls, told) > CASES / 20, (calls, told)
    assert labels
