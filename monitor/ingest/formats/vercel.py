"""Vercel's AI SDK, whose spans of one model call are `ai.generateText.doGenerate` and its like."""

from __future__ import annotations

from monitor.ingest.formats.genai_chat import Chat, load, word
from monitor.ingest.formats.otlp_wire import Attributes

OPERATION = "ai.operationId"


def is_model_call(operation: object) -> bool:
    """Say whether a span is one request to a model; the spans around it are steps, or whole loops of them."""
    return isinstance(operation, str) and operation.endswith((".doGenerate", ".doStream"))


def read_vercel(attributes: Attributes) -> Chat:
    chat = Chat()
    chat.ask(attributes.get("ai.prompt.messages"))
    chat.answer({"content": attributes.get("ai.response.text", attributes.get("ai.response.object"))})
    calls = load(attributes.get("ai.response.toolCalls"))[0]
    chat.tool_calls = len(calls) if isinstance(calls, list) else 0
    chat.finish_reason = word(attributes.get("ai.response.finishReason"))
    return chat
