"""OpenInference: what Arize's instrumentations and LiteLLM's write, `llm.*` beside the whole request and response."""

from __future__ import annotations

from typing import Any

from monitor.ingest.formats.genai_chat import Chat, load, told, word
from monitor.ingest.formats.genai_indexed import numbered
from monitor.ingest.formats.otlp_wire import Attributes

KIND = "openinference.span.kind"


def read_openinference(attributes: Attributes) -> Chat:
    """Read the messages, else the prompts and choices of a completion, else the whole request and response."""
    chat = Chat()
    chat.ask([_message(each) for each in numbered(attributes, "llm.input_messages.")])
    for each in numbered(attributes, "llm.output_messages."):
        answer = Chat()
        answer.answer(_message(each))
        if chat.response is not None and answer.response is not None:
            break  # another choice; without a text of its own it is a further item of the same answer
        chat.fill(answer)
        chat.tool_calls += len(numbered(each, "message.tool_calls.")) or int("message.function_call_name" in each)
    if not chat.messages:
        chat.ask([{"content": each.get("prompt.text")} for each in numbered(attributes, "llm.prompts.")])
    choices = numbered(attributes, "llm.choices.")
    if choices and chat.response is None:
        chat.answer({"content": choices[0].get("completion.text")})
    chat.finish_reason = word(attributes.get("llm.finish_reason"))
    if not chat.messages and "input.value" in attributes:
        _read_request(attributes["input.value"], chat)
    if chat.response is None and not chat.tool_calls and "output.value" in attributes:
        whole = Chat()
        whole.answer(attributes["output.value"])
        chat.fill(whole)
    return chat


def requested_model(attributes: Attributes) -> str | None:
    """Return the model that was asked for, which stands in the request alone where a call failed."""
    for name in ("llm.invocation_parameters", "input.value"):
        found = load(attributes.get(name))[0]
        if isinstance(found, dict) and (model := word(found.get("model"))):
            return model
    return None


def _message(fields: Attributes) -> dict[str, Any]:
    content = fields.get("message.content")
    if told(content) is None:
        content = [
            {"type": part.get("message_content.type", "text"), "text": part.get("message_content.text")}
            for part in numbered(fields, "message.contents.")
        ]
    return {"role": fields.get("message.role"), "content": content}


def _read_request(value: Any, chat: Chat) -> None:
    request, cut = load(value)
    chat.truncated = chat.truncated or cut
    if not isinstance(request, dict):
        chat.ask(request)
    else:
        chat.ask(next((request[name] for name in ("messages", "input", "prompt", "contents") if name in request), None))
        if "instructions" in request or "system" in request:
            chat.instruct(request.get("instructions") or request.get("system"))
