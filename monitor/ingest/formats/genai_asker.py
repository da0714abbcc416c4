"""Who asked: the conversation, the user and the labels that spans and log records tell."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from monitor.ingest.formats.genai_chat import load
from monitor.ingest.formats.otlp_wire import Attributes

CONVERSATION = (
    "gen_ai.conversation.id",
    "session.id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.conversation_id",
    "traceloop.association.properties.thread_id",
    "langfuse.session.id",
    "ai.telemetry.metadata.sessionId",
    "metadata.session_id",
    "thread.id",
)
USER = (
    "user.id",
    "enduser.id",
    "llm.user",
    "gen_ai.user",
    "traceloop.association.properties.user_id",
    "langfuse.user.id",
    "ai.telemetry.metadata.userId",
    "litellm.end_user.id",
    "metadata.user_api_key_end_user_id",
    "metadata.user_id",
)
_SESSION_WORDS = ("session_id", "conversation_id", "thread_id")
_USER_WORDS = ("user_id", "user", "end_user")
_PREFIXES = (
    "",
    "metadata.",
    "litellm.metadata.",
    "traceloop.association.properties.",
    "ai.telemetry.metadata.",
    "langfuse.trace.metadata.",
)
_METADATA = ("metadata", "langfuse.trace.metadata", "metadata.requester_metadata")
_PARAMETERS = "llm.invocation_parameters"
_TAGS = ("tag.tags", "tags", "langfuse.trace.tags", "metadata.tags")
_TAGGED = frozenset(_TAGS)
_BESIDE = frozenset({*_METADATA, _PARAMETERS})


class Asker(Struct, gc=False):
    conversation_id: str | None
    user_id: str | None
    labels: dict[str, str]


def find_asker(attributes: Attributes, outer: Attributes, keys: frozenset[str]) -> Asker:
    """Find who asked, and the labels that *keys* name: the span's own before those of its scope and resource."""
    conversation = first_text(attributes, CONVERSATION)
    user = first_text(attributes, USER)
    if keys or conversation is None or user is None:
        sides = [] if _BESIDE.isdisjoint(attributes) else list(_sides(attributes))
        if sides:
            conversation = conversation or _first_of(sides, _SESSION_WORDS)
            user = user or _first_of(sides, _USER_WORDS)
        labels = _labels(keys, attributes, outer, sides) if keys else {}
    else:
        labels = {}
    return Asker(conversation, user, labels)


def first_text(attributes: Attributes, names: tuple[str, ...]) -> str | None:
    """Return the first of *names* that tells something, as text."""
    for name in names:
        value = attributes.get(name)
        if value is not None and value != "" and (text := _label(value)) is not None:
            return text
    return None


def _sides(attributes: Attributes) -> Iterator[dict[str, Any]]:
    """Yield what is told beside the attributes: the metadata, and the metadata of the request's parameters."""
    for name in _METADATA:
        if (value := attributes.get(name)) and isinstance(found := load(value)[0], dict):
            yield found
    parameters = attributes.get(_PARAMETERS)
    if isinstance(parameters, str) and ('"metadata"' in parameters or '"user"' in parameters):
        found = load(parameters)[0]
        if isinstance(found, dict):
            if isinstance(metadata := found.get("metadata"), dict):
                yield metadata
            yield {"user": found.get("user")}


def _first_of(sides: list[dict[str, Any]], words: tuple[str, ...]) -> str | None:
    return next((text for side in sides for name in words if (text := _label(side.get(name)))), None)


def _labels(
    keys: frozenset[str], attributes: Attributes, outer: Attributes, sides: list[dict[str, Any]]
) -> dict[str, str]:
    tags = dict(_tags(attributes, sides)) if sides or not _TAGGED.isdisjoint(attributes) else {}
    labels = {}
    for key in keys:
        found = first_text(attributes, _names(key))
        found = found or (_first_of(sides, (key,)) if sides else None) or tags.get(key) or _label(outer.get(key))
        if found:
            labels[key] = found
    return labels


@cache
def _names(key: str) -> tuple[str, ...]:
    return tuple(prefix + key for prefix in _PREFIXES)


def _tags(attributes: Attributes, sides: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield tags as labels: `team:shop` and `team=shop` have a name and a value, and a bare one is true."""
    lists = [load(attributes[name])[0] for name in _TAGS if name in attributes] + [side.get("tags") for side in sides]
    for each in (tag for tags in lists if isinstance(tags, list) for tag in tags if isinstance(tag, str)):
        mark = min((place for sign in ":=" if (place := each.find(sign)) > 0), default=len(each))
        value = each[mark + 1 :].strip() if mark < len(each) else "true"
        if value:
            yield each[:mark].strip(), value


def _label(value: Any) -> str | None:
    """Return *value* as a label: numbers and booleans as their JSON text."""
    if isinstance(value, str):
        return value if value and not value.isspace() else None
    return msgspec.json.encode(value).decode() if isinstance(value, bool | int | float) else None
