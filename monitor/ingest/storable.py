"""Characters that no text of a database holds: U+0000, and halves of surrogate pairs.

Models write them now and then, and instrumentations pass them on. What they stand in is worth more than they are.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from monitor.ingest.part import Part

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Escapes from left to right, so that a pair's second half and an escaped backslash are not mistaken for a half.
ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|u0000|.)",
    re.DOTALL,
)
_NAMES = ("model", "request_model", "conversation_id", "user_id", "finish_reason", "response_id", "output_type")
_TEXTS = ("response", "error", "output_schema")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(part: Part) -> Part:
    """Return *part* with U+FFFD in the place of each such character."""
    told = [text for field in (*_NAMES, *_TEXTS) if (text := getattr(part, field)) is not None]
    told += part.labels.values()
    told += [text for message in part.messages for text in message]
    whole = "".join(told)
    if "\x00" not in whole and (whole.isascii() or _SURROGATE.search(whole) is None):
        return part
    changed: dict[str, Any] = {
        field: _mended(text) for field in (*_NAMES, *_TEXTS) if (text := getattr(part, field)) is not None
    }
    messages = tuple([(_mended(role), _mended(content)) for role, content in part.messages])
    labels = {name: _mended(label) for name, label in part.labels.items()}
    return replace(part, messages=messages, labels=labels, **changed)


def storable_json(value: bytes) -> bytes:
    """Return JSON with U+FFFD in the place of each escape of such a character."""
    return ESCAPE.sub(
        lambda found: rb"\ufffd" if found["half"] or found.group() == rb"\u0000" else found.group(), value
    )


def _mended(text: str) -> str:
    return _UNSTORABLE.sub(REPLACEMENT, text)
