"""OpenInference: what Arize's instrumentations and LiteLLM's write, `llm.*` beside the whole request and response."""

from __future__ import annotations

import re
from typing import Any

from monitor.ingest.formats.genai_chat import Chat, load, told, word
from monitor.ingest.formats.genai_indexed import numbered
from monitor.ingest.formats.otlp_wire import Attributes

KIND = "openinference.span.kind"
_PARAMETERS = ("llm.invocation_parameters",)
_LONGEST_COUNT = 500
_LONGEST_BEGINNING = 200  # of a response, before its choices
_RESPONSE_ID = re.compile(r'\{\s*"id":\s*"([^"\\]+)"')
_TOLD_OF_ANSWERS = (
    *("llm.model_name", "llm.finish_reason", "llm.token_count."),
    *("llm.input_messages.", "llm.output_messages.", "llm.prompts.", "llm.choices."),
)

_WHOLE = {
    "output.value": frozenset({"choices", "output", "content"}),
    "input.value": frozenset({"messages", "contents", "instructions", "system"}),
}


def asks_for_an_answer(attributes: Attributes) -> bool:
    """Say whether a span of the kind LLM is a call for an answer.

    Arize's instrumentation of OpenAI gives that kind to all that its client sends: moderation, pictures, lists.
    """
    if counts_alone(attributes):
        return False
    if attributes.get("llm.system") != "openai" or any(name.startswith(_TOLD_OF_ANSWERS) for name in attributes):
        return True
    if "output.value" in attributes and told(attributes["output.value"]) is None:
        return False  # hidden: beside an answer the model's name would stand
    for name, words in _WHOLE.items():
        found = load(attributes.get(name))[0]
        if isinstance(found, dict):
            return not words.isdisjoint(found)
    return True


def read_openinference(attributes: Attributes) -> Chat:
    """Read the messages, else the prompts and choices of a completion, else the whole request and response."""
    chat = Chat()
    chat.ask([_message(each, chat) for each in numbered(attributes, "llm.input_messages.")])
    answers, whole = numbered(attributes, "llm.output_messages."), attributes.get("output.value")
    are_choices = isinstance(whole, str) and '"choices"' in whole[:_LONGEST_BEGINNING]  # else items of one answer
    for each in answers[:1] if are_choices else answers:
        answer = Chat()
        answer.answer(_message(each, answer))
        if chat.response is not None and answer.response is not None:
            break  # another choice; without a text of its own it is a further item of the same answer
        listed = len(numbered(each, "message.tool_calls.")) or int("message.function_call_name" in each)
        tool_calls = chat.tool_calls + max(listed, answer.tool_calls)  # some tell them as parts of the content too
        chat.fill(answer)
        chat.tool_calls = tool_calls
    if not chat.messages:
        chat.ask([{"content": each.get("prompt.text")} for each in numbered(attributes, "llm.prompts.")])
    choices = numbered(attributes, "llm.choices.")
    if choices and chat.response is None:
        chat.answer({"content": choices[0].get("completion.text")})
    chat.finish_reason = word(attributes.get("llm.finish_reason"))
    if not chat.messages and "input.value" in attributes:
        _read_request(attributes["input.value"], chat)
    if chat.response is None and not chat.tool_calls and whole is not None:
        _read_response(whole, chat, is_text=not any(name.startswith("llm.output_messages.") for name in attributes))
    if isinstance(whole, str) and '"incomplete_details"' in whole:
        _read_end(load(whole)[0], chat)
    return chat


def _read_response(value: Any, chat: Chat, *, is_text: bool) -> None:
    """Read the whole response; it is the answer's text itself only where no message is told beside it."""
    if is_text or not isinstance(value, str) or value.startswith(("{", "[")):
        whole = Chat()
        whole.answer(value)
        chat.fill(whole)


def _read_end(response: Any, chat: Chat) -> None:
    """Read how one of OpenAI's Responses ended: it has no finish reason, and tells an error beside a status of 200."""
    if isinstance(response, dict):
        why, error = response.get("incomplete_details"), response.get("error")
        cut_short = word(why.get("reason")) if isinstance(why, dict) else None
        chat.finish_reason = chat.finish_reason or cut_short or word(response.get("status"))
        chat.error = (word(error.get("message")) or word(error.get("code"))) if isinstance(error, dict) else None


def counts_alone(attributes: Attributes) -> bool:
    """Say whether the response holds nothing but numbers, as of a request that counts a prompt's tokens."""
    value = attributes.get("output.value")
    if not isinstance(value, str) or len(value) > _LONGEST_COUNT or not value.startswith("{"):
        return False
    found = load(value)[0]
    return isinstance(found, dict) and all(each is None or isinstance(each, int) for each in found.values())


def told_by_response(attributes: Attributes) -> tuple[str | None, str | None]:
    """Return the model that answered and the id of the answer, as far as the whole response tells them.

    LangChain's spans name the model that was asked for where an answer was streamed.
    """
    value = attributes.get("output.value")
    if not isinstance(value, str) or not value.startswith("{"):
        return None, None
    if not value.startswith('{"generations"'):
        found = _RESPONSE_ID.match(value)
        return None, found[1] if found else None
    answer = _at(load(value)[0], "generations", 0, 0, "message", "kwargs", "response_metadata")
    return word(_at(answer, "model_name")), word(_at(answer, "id"))


def requested_model(attributes: Attributes) -> str | None:
    """Return the model that was asked for: of a call that failed it stands in the request alone."""
    for name in _PARAMETERS if "llm.model_name" in attributes else (*_PARAMETERS, "input.value"):
        found = load(attributes.get(name))[0]
        if isinstance(found, dict) and (model := word(found.get("model")) or word(found.get("model_name"))):
            return model
    return None


def _at(value: Any, *path: str | int) -> Any:
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and len(value) > step else None
    return value


def _message(fields: Attributes, chat: Chat) -> dict[str, Any]:
    text = fields.get("message.content")
    content = chat.parts(text)
    if content is text and told(text) is None:
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
        asked = next((request[name] for name in ("messages", "input", "prompt", "contents") if name in request), None)
        if "messages" not in request or not isinstance(asked, list) or not all(isinstance(each, str) for each in asked):
            chat.ask(asked)  # else it is what Python shows of objects
        if "instructions" in request or "system" in request:
            chat.instruct(request.get("instructions") or request.get("system"))
