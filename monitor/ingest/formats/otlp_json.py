"""OTLP as JSON: identifiers in hexadecimal, long integers as strings, enumerations as numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from monitor.errors import InvalidTrace
from monitor.ingest.decode import Reason, parse_json
from monitor.ingest.formats.otlp_wire import (
    SCOPE,
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    Attributes,
    LogLine,
    Span,
    SpanEvent,
    Telemetry,
    is_wanted,
    to_hexadecimal,
)
from monitor.ingest.storable import storable_json

_FAILED = frozenset({2, "2", "STATUS_CODE_ERROR"})

Long = int | str | None  # nanoseconds and counts


class JsonValue(Struct, rename="camel", gc=False):
    string_value: str | None = None
    int_value: int | float | str | None = None
    double_value: float | str | None = None
    bool_value: bool | None = None
    array_value: JsonList | None = None
    kvlist_value: JsonPairs | None = None


class JsonList(Struct, gc=False):
    values: list[JsonValue] | None = None


class JsonPair(Struct, gc=False):
    key: str
    value: JsonValue | None = None


class JsonPairs(Struct, gc=False):
    values: list[JsonPair] | None = None


class JsonOwner(Struct, gc=False):
    """A resource or a scope."""

    name: str | None = None  # of a scope
    attributes: list[JsonPair] | None = None


class JsonStatus(Struct, gc=False):
    code: int | str | None = None
    message: str | None = None


class JsonEvent(Struct, rename="camel", gc=False):
    name: str = ""
    time_unix_nano: Long = None
    attributes: list[JsonPair] | None = None


class JsonSpan(Struct, rename="camel", gc=False):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str | None = None
    name: str = ""
    start_time_unix_nano: Long = None
    end_time_unix_nano: Long = None
    attributes: list[JsonPair] | None = None
    dropped_attributes_count: int | None = None
    events: list[JsonEvent] | None = None
    status: JsonStatus | None = None


class JsonLog(Struct, rename="camel", gc=False):
    trace_id: str = ""
    span_id: str = ""
    time_unix_nano: Long = None
    observed_time_unix_nano: Long = None
    event_name: str | None = None
    body: JsonValue | None = None
    attributes: list[JsonPair] | None = None
    dropped_attributes_count: int | None = None


class JsonSpans(Struct, gc=False):
    scope: JsonOwner | None = None
    spans: list[JsonSpan] | None = None


class JsonLogs(Struct, rename="camel", gc=False):
    scope: JsonOwner | None = None
    log_records: list[JsonLog] | None = None


class JsonSpanGroup(Struct, rename="camel", gc=False):
    resource: JsonOwner | None = None
    scope_spans: list[JsonSpans] | None = None


class JsonLogGroup(Struct, rename="camel", gc=False):
    resource: JsonOwner | None = None
    scope_logs: list[JsonLogs] | None = None


class JsonExport(Struct, rename="camel"):
    resource_spans: list[JsonSpanGroup] | None = None
    resource_logs: list[JsonLogGroup] | None = None
    resource_metrics: list[msgspec.Raw] | None = None
    resource_profiles: list[msgspec.Raw] | None = None


def read_json(value: bytes) -> Telemetry | InvalidTrace:
    """Read *value* as an export of spans, logs or metrics."""
    try:
        export = _EXPORT.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        explained = parse_json(_EXPORT, value)
        if isinstance(explained, InvalidTrace) and explained.reason == Reason.LONE_SURROGATE:
            explained = parse_json(_EXPORT, storable_json(value))
        if isinstance(explained, InvalidTrace):
            return explained
        export = explained
    others = len(export.resource_metrics or ()) + len(export.resource_profiles or ())
    if export.resource_spans is None and export.resource_logs is None and not others:
        return InvalidTrace(Reason.NOT_OTLP, "value: a JSON object that is no OTLP; wanted resourceSpans, resourceLogs")
    spans = [
        _span(span, outer)
        for group in export.resource_spans or ()
        for scope in group.scope_spans or ()
        for outer in (_outer(group.resource, scope.scope),)
        for span in scope.spans or ()
    ]
    lines = [
        _line(log, outer)
        for group in export.resource_logs or ()
        for scope in group.scope_logs or ()
        for outer in (_outer(group.resource, scope.scope),)
        for log in scope.log_records or ()
    ]
    return Telemetry(spans, lines, others)


def _outer(resource: JsonOwner | None, scope: JsonOwner | None) -> Attributes:
    owners = [owner.attributes for owner in (resource, scope) if owner is not None]
    told = {name: value for pairs in owners for name, value in _attributes(pairs).items()}
    return {SCOPE: (scope.name or "") if scope is not None else "", **told}


def _span(span: JsonSpan, outer: Attributes) -> Span:
    status = span.status or _NO_STATUS
    return Span(
        to_hexadecimal(span.trace_id, TRACE_ID_BYTES),
        to_hexadecimal(span.span_id, SPAN_ID_BYTES),
        to_hexadecimal(span.parent_span_id or "", SPAN_ID_BYTES),
        span.name,
        _long(span.start_time_unix_nano),
        _long(span.end_time_unix_nano),
        _attributes(span.attributes),
        outer,
        [
            SpanEvent(event.name, _long(event.time_unix_nano), _attributes(event.attributes))
            for event in span.events or ()
            if is_wanted(event.name)
        ],
        status.code in _FAILED,
        status.message or "",
        span.dropped_attributes_count or 0,
    )


def _line(log: JsonLog, outer: Attributes) -> LogLine:
    time_ns = _long(log.time_unix_nano) or _long(log.observed_time_unix_nano)
    body = None if log.body is None else _value(log.body)
    return LogLine(
        to_hexadecimal(log.trace_id, TRACE_ID_BYTES),
        to_hexadecimal(log.span_id, SPAN_ID_BYTES),
        SpanEvent(log.event_name or "", time_ns, _attributes(log.attributes), body),
        outer,
        log.dropped_attributes_count or 0,
    )


def _attributes(pairs: Iterable[JsonPair] | None) -> Attributes:
    return {pair.key: None if pair.value is None else _value(pair.value) for pair in pairs or ()}


def _value(value: JsonValue) -> Any:
    if value.string_value is not None:
        return value.string_value
    if value.array_value is not None:
        return [_value(each) for each in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return _attributes(value.kvlist_value.values)
    if isinstance(value.int_value, str):
        return _long(value.int_value)
    return next((each for each in (value.int_value, value.bool_value, value.double_value) if each is not None), None)


def _long(number: Long) -> int:
    """Return a whole number, 0 where there is none; what is no number at all says nothing either."""
    if not isinstance(number, str):
        return number or 0
    try:
        return int(number)
    except ValueError:  # also of more digits than are read
        return 0


_NO_STATUS = JsonStatus()
_EXPORT = msgspec.json.Decoder(JsonExport)
