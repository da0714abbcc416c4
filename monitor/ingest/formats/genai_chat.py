"""Messages and answers in the shapes that producers give them, cut ones too."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import msgspec
from msgspec import Struct

REDACTED = frozenset({"redacted", "redacted-by-litellm"})  # what stands where a text was; brackets and case aside
_UNREAD = "<coroutine object "  # what OpenInference shows of a response that nobody has read yet
_TEXT_TYPES = frozenset({"text", "input_text", "output_text", "refusal"})
_RESULT_TYPES = frozenset({"tool_call_response", "tool_result", "tool-result", "function_call_output"})
_THOUGHT_TYPES = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})
_SHOWN_CALL = "ResponseFunctionToolCall("  # what OpenTelemetry's openai-agents-v2 shows as a text
_SHOWN = ('{"reasoningContent": {', _SHOWN_CALL)  # and OpenLLMetry of Bedrock's thoughts
_SHOWN_IN_JSON = tuple(each.replace('"', '\\"') for each in _SHOWN)
_CALL_TYPES = frozenset({"tool_call", "tool-call", "tool_use", "function_call"})
_PART_TYPES = _TEXT_TYPES | _RESULT_TYPES | _CALL_TYPES
_PART_TYPES |= {"thinking", "redacted_thinking", "reasoning", "image", "image_url", "input_image", "document", "file"}
_PART_TYPES |= {"input_file", "audio", "input_audio", "video", "video_url", "blob", "uri"}


class Chat(Struct, gc=False):
    """What was asked and answered, as far as one place tells; it is filled by and by."""

    messages: tuple[tuple[str, str], ...] = ()
    response: str | None = None
    finish_reason: str | None = None
    tool_calls: int = 0
    truncated: bool = False
    error: str | None = None

    def fill(self, other: Chat) -> None:
        """Take from *other* what is missing here."""
        self.finish_reason = self.finish_reason or other.finish_reason
        self.error = self.error or other.error
        if not self.messages and other.messages:
            self.messages = other.messages
            self.truncated = self.truncated or other.truncated
        if self.response is None and not self.tool_calls and other.response is not None:
            self.response = other.response
            self.truncated = self.truncated or other.truncated
        self.tool_calls = self.tool_calls or other.tool_calls

    def ask(self, value: Any, role: str = "user") -> None:
        """Read *value* as the messages of a prompt: a list, one message, or plain text of *role*; JSON or parsed."""
        plain = read_plain(value)
        if plain is not None:
            said = tuple([(message.role or role, message.text or "") for message in plain])
            if any(content for _, content in said):
                self.messages += said
            return
        found, cut = load(value)
        self.truncated = self.truncated or cut
        if isinstance(found, dict) and "messages" in found:
            found = found["messages"]
        asked = [each for each in found if not _is_definition(each)] if isinstance(found, list) else [found]
        messages = tuple(_message(each, role) for each in asked)
        calls = any(isinstance(each, dict) and each.get("tool_calls") for each in asked)
        if calls or any(content for _, content in messages):  # roles alone say nothing
            self.messages += messages

    def parts(self, value: Any) -> Any:
        """Return a message's content: a text, or parts that were written as JSON."""
        if not isinstance(value, str) or not value.startswith('[{"') or '"type"' not in value:
            return value
        found, cut = load(value)
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            return value
        if any(word(each.get("type")) not in _PART_TYPES for each in (found[:-1] if cut else found)):
            return value  # an answer in JSON
        self.truncated = self.truncated or cut
        return found

    def instruct(self, value: Any) -> None:
        """Read *value* as instructions, which stand before all messages."""
        found, cut = load(value)
        self.truncated = self.truncated or cut
        text = told(_joined(found, results=False))
        if text is not None:
            self.messages = (("system", text), *self.messages)

    def answer(self, value: Any) -> None:
        """Read *value* as an answer or as several to choose from, of which the first is taken; JSON or parsed."""
        if plain := read_plain(value):
            self.response, self.tool_calls = plain[0].text, 0
            self.finish_reason = self.finish_reason or plain[0].finish_reason or None
            return
        found, cut = load(value)
        self.truncated = self.truncated or cut
        if isinstance(found, dict):
            found = _outcome(found)
        choices = found if isinstance(found, list) else [found]
        for place, choice in enumerate(choices):
            message = choice.get("message", choice) if isinstance(choice, dict) else choice
            self.response = told(_joined(message, results=False))
            self.tool_calls = _called(message)
            if isinstance(choice, dict):
                self.tool_calls = self.tool_calls or _called(choice)
                self.finish_reason = self.finish_reason or word(choice.get("finish_reason"))
            if self.response is not None or self.tool_calls:
                self.tool_calls += sum(map(_called_alone, choices[place + 1 :]))
                return
            parts = _parts(message)
            if not parts or not all(map(_is_thought, parts)):
                return  # else these are thoughts alone, which some tell as a message before the answer's


class PlainPart(Struct, gc=False, forbid_unknown_fields=True):
    type: Literal["text"]
    content: str


class PlainMessage(Struct, gc=False, forbid_unknown_fields=True):
    """A message as OpenTelemetry's conventions have it, with nothing but text: as most are."""

    role: str
    parts: list[PlainPart]
    finish_reason: str | None = None

    @property
    def text(self) -> str | None:
        parts = self.parts
        return told(
            parts[0].content if len(parts) == 1 else "\n".join([part.content for part in parts if part.content])
        )


def read_plain(value: Any) -> list[PlainMessage] | None:
    """Read *value* where it is JSON of plain messages: at a third of the cost of reading just anything."""
    if not isinstance(value, str) or not value.startswith('[{"role"'):
        return None
    if _SHOWN_IN_JSON[0] in value or _SHOWN_IN_JSON[1] in value:
        return None
    try:
        return _PLAIN.decode(value)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None


def told(text: Any) -> str | None:
    """Return *text* if it says something: a blank does not, nor a mark that something was redacted."""
    if not isinstance(text, str) or not text or text.isspace() or text.startswith(_UNREAD):
        return None
    return None if len(text) < 32 and text.strip("[]<>(){}_* \n").lower() in REDACTED else text


def word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def load(value: Any) -> tuple[Any, bool]:
    """Return what *value* holds, and whether its end was cut off.

    A text that begins as JSON is JSON or nothing; a cut one is read as far as it goes.
    """
    if not isinstance(value, str) or value[:1] not in {"[", "{"}:
        return value, False
    try:
        return msgspec.json.decode(value), False
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    for text, cut in ((value, False), (mend(value), True)):
        try:
            return json.loads(text), cut  # it knows NaN, and lets halves of surrogate pairs through to be named
        except (ValueError, RecursionError):
            continue
    return None, False


def mend(text: str) -> str:
    """Close the strings, lists and objects that were open where JSON was cut; a key without its value goes."""
    tokens = _TOKEN.findall(text)
    closing: list[str] = []
    for each in tokens:
        if each in _CLOSING:
            closing.append(_CLOSING[each])
        elif closing and each == closing[-1]:
            closing.pop()
    if tokens[-1][0] == '"' and _STRING.fullmatch(tokens[-1]) is None:
        whole = _WHOLE_CHARACTERS.match(tokens[-1], 1)
        tokens[-1] = f'"{_HALF_PAIR.sub("", whole.group()) if whole else ""}"'
    elif tokens[-1][0] not in '"[]{}:,':
        tokens.pop()  # half a number or half a word
    if closing[-1:] == ["}"] and len(tokens) > 1 and tokens[-1][0] == '"' and tokens[-2] in "{,":
        tokens.pop()
    if tokens and tokens[-1] == ":":
        tokens.append("null")
    if tokens and tokens[-1] == ",":
        tokens.pop()
    return "".join(tokens) + "".join(reversed(closing))


_PLAIN = msgspec.json.Decoder(list[PlainMessage])
_CLOSING = {"[": "]", "{": "}"}
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_TOKEN = re.compile(_STRING.pattern + r'|".*|[\[\]{}:,]|[^\[\]{}:,"\s]+', re.DOTALL)
_WHOLE_CHARACTERS = re.compile(r"(?:[^\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+", re.DOTALL)
_HALF_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}$")


def _is_definition(message: Any) -> bool:
    """Say whether *message* describes a tool, as Langfuse puts it behind the messages."""
    content = message.get("content") if isinstance(message, dict) else None
    return isinstance(content, dict) and content.get("type") == "function" and "function" in content


def _message(message: Any, role: str) -> tuple[str, str]:
    if isinstance(message, dict):
        role = word(message.get("role")) or role
    return role, told(_joined(message, results=True)) or ""


def _outcome(response: dict[str, Any]) -> Any:
    """Return the choices of a whole response; the items of one of OpenAI's Responses are parts of one message."""
    if isinstance(response.get("choices"), list):
        return response["choices"]
    items = response.get("output")
    return (
        {"parts": [part for item in items for part in _parts(item) or [item]]} if isinstance(items, list) else response
    )


def _parts(message: Any) -> list[Any]:
    found = message
    if isinstance(message, dict):
        found = message.get("parts")
        found = message.get("content") if found is None else found
    return found if isinstance(found, list) else []


def _is_thought(part: Any) -> bool:
    return isinstance(part, dict) and word(part.get("type")) in _THOUGHT_TYPES


def _joined(message: Any, *, results: bool) -> str | None:
    """Return the texts of *message* as one; the results of tools too where they are asked for."""
    if isinstance(message, str):
        return message
    parts = _parts(message)
    if not parts and isinstance(message, dict):
        content = message.get("content")
        if isinstance(content, str):
            return content
        told_itself = "type" in message or "text" in message
        beside = message.get("provider_specific_fields")  # LiteLLM's
        refusal = message.get("refusal") or (beside.get("refusal") if isinstance(beside, dict) else None)
        return word(refusal) or (_part(message, results=results) if told_itself else None)
    texts = [text for part in parts if (text := _part(part, results=results))]
    return texts[0] if len(texts) == 1 else "\n".join(texts) or None


def _part(part: Any, *, results: bool) -> str | None:
    if not isinstance(part, dict):
        return word(part)
    kind = word(part.get("type", "text"))
    if kind in _TEXT_TYPES:
        text = next((text for name in ("content", "text", "refusal") if (text := word(part.get(name)))), None)
        return None if text is not None and text.startswith(_SHOWN) else text
    if results and kind in _RESULT_TYPES:
        return _result(next((part[name] for name in ("response", "result", "output", "content") if name in part), None))
    return None


def _result(result: Any) -> str | None:
    """Return what a tool gave as text: its own, that of its parts, or its JSON."""
    if result is None or isinstance(result, str):
        return word(result)
    text = _joined(result, results=False)
    if text is None and isinstance(result, dict):
        text = word(result.get("value"))
    return text or json.dumps(result, ensure_ascii=False, default=str)


def _called_alone(choice: Any) -> int:
    """Return how many calls of tools a choice asks for that has no text: it is a further item of the same answer."""
    message = choice.get("message", choice) if isinstance(choice, dict) else choice
    return _called(message) if told(_joined(message, results=False)) is None else 0


def _is_call(part: dict[str, Any]) -> bool:
    return word(part.get("type")) in _CALL_TYPES or (word(part.get("content")) or "").startswith(_SHOWN_CALL)


def _called(message: Any) -> int:
    """Return how many calls of tools *message* asks for."""
    if not isinstance(message, dict):
        return 0
    calls = message.get("tool_calls")
    told_here = sum(isinstance(part, dict) and _is_call(part) for part in _parts(message))
    return max(told_here, len(calls) if isinstance(calls, list) else 0, int(bool(message.get("function_call"))))
