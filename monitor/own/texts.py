"""Which text of a trace an own signal reads."""

from __future__ import annotations

from collections.abc import Callable

from monitor.domain.trace import Trace, prompt_of

TextOf = Callable[[Trace], str | None]  # None: the trace has no such text, or not all of it


def text_reader(field: str) -> TextOf:
    """Return what reads *field* of a trace: `response`, `prompt` or `conversation`.

    A text that was cut on its way is none: what is not found in it may have stood in the rest.
    """
    read = {"response": lambda trace: trace.response, "prompt": prompt_text, "conversation": conversation_text}[field]
    return lambda trace: None if trace.truncated else read(trace)


def prompt_text(trace: Trace) -> str | None:
    """Return the last user message, all messages where none is a user's."""
    return prompt_of(trace.messages)


def conversation_text(trace: Trace) -> str | None:
    """Return the messages, a paragraph each, with who wrote them."""
    return "\n\n".join(f"{message.role}: {message.content}" for message in trace.messages) or None
