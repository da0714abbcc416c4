"""In which form an answer was asked for, as requests of OpenAI's kind say it."""

from __future__ import annotations

from typing import Any

import msgspec

MAX_SCHEMA_CHARACTERS = 20_000  # a longer one is not taken along: its answers are JSON or not, and no more is said
_JSON_TYPES = frozenset({"json", "json_object", "json_schema"})


def output_form(asked: Any) -> tuple[str | None, str | None]:
    """Return the output type and the schema of a `response_format`, or of a `text.format` of the Responses API."""
    kind = asked.get("type") if isinstance(asked, dict) else asked
    if not isinstance(kind, str):
        return None, None
    if kind not in _JSON_TYPES:
        return ("text", None) if kind == "text" else (None, None)
    named = asked.get("json_schema", asked) if isinstance(asked, dict) else {}
    return "json", schema_text(named.get("schema") if isinstance(named, dict) else None)


def schema_text(schema: Any) -> str | None:
    """Return a schema, parsed or as JSON, as JSON; None where it is none, or too long."""
    try:
        text = msgspec.json.encode(schema).decode() if isinstance(schema, dict) and schema else schema
    except (UnicodeEncodeError, RecursionError):  # half of a surrogate pair, or too deep
        return None
    return text if isinstance(text, str) and text.startswith("{") and len(text) <= MAX_SCHEMA_CHARACTERS else None
