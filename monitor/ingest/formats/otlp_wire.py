"""Spans and log records of OpenTelemetry, whichever way they were written."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from msgspec import Struct

SPAN_ID_BYTES, TRACE_ID_BYTES = 8, 16

SCOPE = "otel.scope.name"  # as exporters write it that have no other place for it
FIRST_TOKEN_EVENT = "First Token Stream Event"  # noqa: S105 - OpenInference's name of an event
Attributes = dict[str, Any]  # texts, numbers, booleans, bytes, lists and dicts of them


class SpanEvent(Struct, gc=False):
    """Something that happened at one time: an event of a span, or what a log record says."""

    name: str
    time_ns: int
    attributes: Attributes
    body: Any = None


class Span(Struct, gc=False):
    trace: str  # identifiers are hexadecimal, in lower case, and not checked
    span: str
    parent: str
    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes
    outer: Attributes  # of its scope, with its name, and its resource
    events: list[SpanEvent]
    failed: bool
    message: str  # of its status
    dropped: int  # attributes that went missing on the way


class LogLine(Struct, gc=False):
    trace: str
    span: str
    event: SpanEvent
    outer: Attributes
    dropped: int


class Telemetry(Struct, gc=False):
    """What a record holds; *others* counts what is neither span nor log line, such as metrics."""

    spans: list[Span]
    logs: list[LogLine]
    others: int = 0


def is_wanted(event: str) -> bool:
    """Say whether an event of a span may tell of a call; those of single chunks of a stream do not."""
    if event.startswith("gen_ai."):
        return not event.endswith(".chunk")
    return event in {"exception", FIRST_TOKEN_EVENT}


def is_identifier(text: str, size: int) -> bool:
    """Say whether *text* names something: *size* bytes in hexadecimal that are not all zero."""
    return len(text) == 2 * size and _HEXADECIMAL.fullmatch(text) is not None and text.strip("0") != ""


def to_hexadecimal(text: str, size: int) -> str:
    """Return an identifier of *size* bytes as hexadecimal; some exporters write OTLP's JSON with base64."""
    if len(text) == 2 * size or not text:
        return text.lower()
    try:
        return base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError):
        return text


_HEXADECIMAL = re.compile("[0-9a-f]*")
