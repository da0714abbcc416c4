"""What events tell of a call: a message, an answer, all of it, or what an evaluation made of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.domain.label import KIND_PATTERN, Label, LabelSource
from monitor.ingest.formats.genai_chat import Chat, load, word
from monitor.ingest.formats.otlp_wire import Attributes, SpanEvent

DETAILS = "gen_ai.client.inference.operation.details"
EVALUATION = "gen_ai.evaluation.result"
_CHOICE = "gen_ai.choice"
_MESSAGE = re.compile(r"gen_ai\.(\w+)\.message")  # of a role: system, developer, user, assistant, tool, function
_PASSED = {"pass": 1.0, "passed": 1.0, "true": 1.0, "fail": 0.0, "failed": 0.0, "false": 0.0}


def event_name(event: SpanEvent) -> str:
    """Return what an event is called: in a field of its own, or in an attribute, as older producers do."""
    return event.name or word(event.attributes.get("event.name")) or word(event.attributes.get("event_name")) or ""


def read_event(name: str, event: SpanEvent) -> Chat | None:
    """Read what an event tells of a call's texts; None for an event of another kind, or of a further choice."""
    attributes = event.attributes
    chat = Chat()
    if name == DETAILS:
        read_texts((event.body if isinstance(event.body, dict) else {}) | attributes, chat)
    elif (named := _MESSAGE.fullmatch(name)) is not None:
        message, role = _body(event), named.group(1)
        if isinstance(message, dict):
            message = {"role": role} | {key: value for key, value in message.items() if value is not None}
        chat.ask([message], role)
    elif name == _CHOICE:
        choice = _body(event)
        if isinstance(choice, dict) and choice.get("index") not in _FIRST:
            return None
        chat.answer(choice)
    elif name == "gen_ai.content.prompt":
        chat.ask(attributes.get("gen_ai.prompt") if event.body is None else event.body)
    elif name == "gen_ai.content.completion":
        if attributes.get("index") not in _FIRST:
            return None
        chat.answer(attributes.get("gen_ai.completion") if event.body is None else event.body)
    else:
        return None
    return chat


def read_texts(attributes: Attributes, chat: Chat) -> None:
    """Read the messages as the conventions of today have them, on a span or on an event."""
    if (value := attributes.get("gen_ai.input.messages")) is not None:
        chat.ask(value)
    if (value := attributes.get("gen_ai.system_instructions")) is not None:
        chat.instruct(value)
    if (value := attributes.get("gen_ai.output.messages")) is not None:
        chat.answer(value)


def read_evaluation(event: SpanEvent, call_id: str) -> Label | None:
    """Return an evaluation as a label of *call_id*; None where it is no value between 0 and 1, as labels are.

    A later evaluation of the same name corrects an earlier one.
    """
    kind = _NOT_IN_KIND.sub("_", str(event.attributes.get("gen_ai.evaluation.name", "")).lower()).strip("_")
    value = event.attributes.get("gen_ai.evaluation.score.value")
    if value is None:
        value = _PASSED.get(str(event.attributes.get("gen_ai.evaluation.score.label")).lower())
    if not isinstance(value, int | float) or not 0 <= value <= 1 or re.match(KIND_PATTERN, kind) is None:
        return None
    return Label(
        label_id=f"{call_id}-{kind}",
        timestamp=datetime.fromtimestamp(0, UTC) + timedelta(microseconds=event.time_ns // 1000),
        trace_id=call_id,
        kind=kind,
        value=float(value),
        source=LabelSource.AI,
    )


def _body(event: SpanEvent) -> Any:
    """Return what an event of one message holds: in its body, in one attribute as JSON, or in its attributes."""
    if event.body is not None:
        return load(event.body)[0]
    content = event.attributes.get("gen_ai.event.content")
    if content is not None:
        return load(content)[0]
    return {
        name: load(value)[0] if name in {"content", "message"} else value for name, value in event.attributes.items()
    }


_FIRST = (None, 0, "0")  # of several choices, the one that is taken
_NOT_IN_KIND = re.compile("[^a-z0-9]+")
