"""A prompt and its response as the turns of a conversation, and those as text."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.domain.trace import Message

ASSISTANT = "assistant"


def turns_of(messages: Sequence[Message], response: str) -> list[dict[str, str]]:
    """Return the conversation as chat templates and chat servers take it, the response last."""
    turns = [{"role": message.role, "content": message.content} for message in messages]
    return [*turns, {"role": ASSISTANT, "content": response}]


def render_lines(turns: Sequence[dict[str, str]]) -> str:
    """Write each turn as a line "role: content": the form of models that have no chat template."""
    return "\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)
