"""Which text of a trace an own signal reads."""

from __future__ import annotations

from collections.abc import Callable

from monitor.domain.trace import Trace, prompt_of

TextOf = Callable[[Trace], str | None]  # None: the trace has no such text


def text_reader(field: str) -> TextOf:
    """Return what reads *field* of a trace: `response`, `prompt` or `conversation`."""
    return {"response": lambda trace: trace.response, "prompt": prompt_text, "conversation": conversation_text}[field]


def prompt_text(trace: Trace) -> str | None:
    """Return the last user message, all messages where none is a user's."""
    return prompt_of(trace.messages)


def conversation_text(trace: Trace) -> str | None:
    """Return the messages, a paragraph each, with who wrote them."""
    return "\n\n".join(f"{message.role}: {message.content}" for message in trace.messages) or None
