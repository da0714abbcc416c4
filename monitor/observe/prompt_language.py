"""The language of a prompt as a label: the cohort key `prompt_language`, which is computed where it is configured."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.domain.trace import Message, prompt_of
from monitor.signals.language_model import guess_language

PROMPT_LANGUAGE = "prompt_language"


def language_of(messages: Sequence[Message]) -> str:
    """Return the language of the last user message as ISO 639 writes it; the same text always has the same."""
    return guess_language(prompt_of(messages) or "")
