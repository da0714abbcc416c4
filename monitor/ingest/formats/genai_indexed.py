"""Messages in `gen_ai.prompt` and `gen_ai.completion`, mostly spread over numbered attributes.

OpenLLMetry wrote `gen_ai.prompt.{i}.*` and `gen_ai.completion.{i}.*`, and before that `llm.prompts` and
`llm.completions`. LiteLLM still writes some of them, and others one attribute with all messages as JSON.
"""

from __future__ import annotations

from monitor.ingest.formats.genai_chat import Chat, word
from monitor.ingest.formats.otlp_wire import Attributes

_ASKED = ("gen_ai.prompt.", "llm.prompts.")
_ANSWERED = ("gen_ai.completion.", "llm.completions.")
_ALL = (*_ASKED, *_ANSWERED)
_MAX_DIGITS = 6  # of a message's number


def read_indexed(attributes: Attributes) -> Chat:
    """Read what these attributes tell."""
    chat = Chat()
    chat.ask(attributes.get("gen_ai.prompt"))
    chat.answer(attributes.get("gen_ai.completion"))
    if not any(name.startswith(_ALL) for name in attributes):
        return chat
    for prefix in _ASKED:
        asked = numbered(attributes, prefix)
        chat.ask([{"role": each.get("role"), "content": chat.parts(each.get("content"))} for each in asked])
    for prefix in _ANSWERED:
        choices = numbered(attributes, prefix)
        if not choices:
            continue
        chat.answer({"content": chat.parts(choices[0].get("content"))})
        chat.finish_reason = word(choices[0].get("finish_reason")) or chat.finish_reason
        named = sum("function_call.name" in each for each in choices)  # LiteLLM numbers calls of tools as if choices
        chat.tool_calls = max(len(numbered(choices[0], "tool_calls.")), named)
    return chat


def numbered(attributes: Attributes, prefix: str) -> list[Attributes]:
    """Gather `{prefix}{number}.{name}` by number, in its order; the first may be missing, as limits drop them first."""
    found: dict[int, Attributes] = {}
    start = len(prefix)
    for name, value in attributes.items():
        if name.startswith(prefix):
            number, _, field = name[start:].partition(".")
            if number.isdecimal() and len(number) <= _MAX_DIGITS:
                found.setdefault(int(number), {})[field] = value
    return [found[number] for number in sorted(found)]
