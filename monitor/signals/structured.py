"""Whether an answer that was to be JSON is JSON, and keeps to its schema: `json_validity` and `schema_validity`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace
from monitor.signals.reading import answer_of
from monitor.signals.schema import keeps_to

JSON_VALIDITY = Signal("json_validity", SignalKind.BINARY, "ratio", "an answer that was to be JSON is JSON")
SCHEMA_VALIDITY = Signal(
    "schema_validity", SignalKind.BINARY, "ratio", "an answer that was to keep to a JSON Schema does"
)
VERSION = "json-1"  # raise it with every change of what is taken for asked, or for valid
JSON = "json"
_EDGE = 2_000  # characters at either end of a message, where it says how to answer
_ASKED = re.compile(
    r"\b(?:only|nothing but|just|strictly|exclusively)\b[^.\n]{0,40}\bjson\b"
    r"|\bjson\b[^.\n]{0,20}\b(?:only|and nothing)\b"
    r"|\b(?:respond|reply|answer|output|return|response|result)\b[^.\n]{0,40}\b(?:valid|strict|raw|parseable) json\b"
)
_FENCED = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*?)\n?```", re.DOTALL)


def observe_json_validity(trace: Trace) -> Observation | None:
    """Observe an answer of which JSON and nothing else was asked, by the call or in plain English words."""
    text = answer_of(trace)
    if text is None or not _asks_for_json(trace):
        return None
    return Observation(JSON_VALIDITY.name, VERSION, float(_read(text)[0]))


def observe_schema_validity(trace: Trace) -> Observation | None:
    """Observe an answer whose schema the call told; None where the keywords that are read do not settle it."""
    text = answer_of(trace)
    if text is None or trace.output_schema is None:
        return None
    is_json, value = _read(text)
    kept = keeps_to(value, _schema(trace.output_schema)) if is_json else False
    return None if kept is None else Observation(SCHEMA_VALIDITY.name, VERSION, float(kept))


def _asks_for_json(trace: Trace) -> bool:
    if trace.output_type is not None:
        return trace.output_type == JSON
    for message in trace.messages:
        if message.role != "assistant":
            text = message.content if len(message.content) <= 2 * _EDGE else _edges(message.content)
            text = text.lower()
            if JSON in text and _ASKED.search(text):
                return True
    return False


def _edges(text: str) -> str:
    return f"{text[:_EDGE]}\n{text[-_EDGE:]}"


def _read(text: str) -> tuple[bool, Any]:
    """Return whether *text* is JSON, a fence around it aside, and what it holds."""
    stripped = text.strip()
    fenced = _FENCED.fullmatch(stripped) if stripped.startswith("```") else None
    try:
        return True, msgspec.json.decode(fenced.group(1) if fenced else stripped)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False, None


@lru_cache(256)
def _schema(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
