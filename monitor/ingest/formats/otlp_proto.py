"""OTLP as protobuf: the bytes of an export request, as the OpenTelemetry Collector puts them on Kafka."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from monitor.errors import InvalidTrace
from monitor.ingest.decode import Reason
from monitor.ingest.formats.otlp_wire import SCOPE, Attributes, LogLine, Span, SpanEvent, Telemetry, is_wanted

_ERROR = Status.STATUS_CODE_ERROR
M = TypeVar("M", bound=Message)


def read_protobuf(value: bytes) -> Telemetry | InvalidTrace:
    """Read *value* as an export request of traces, of logs or of metrics, whichever it can be.

    The three look alike on the wire. What tells them apart are fields of one that are of
    another type in the others: times above all, which every span and every log record has.
    """
    spans = _parsed(ExportTraceServiceRequest, value)
    found = _spans(spans) if spans is not None else []
    if any(span.start_ns or span.end_ns for span in found):
        return Telemetry(found, [])
    logs = _parsed(ExportLogsServiceRequest, value)
    lines = _lines(logs) if logs is not None else []
    if any(line.event.time_ns for line in lines):
        return Telemetry([], lines)
    metrics = _parsed(ExportMetricsServiceRequest, value)
    if metrics is not None:
        told = [each for group in metrics.resource_metrics for scope in group.scope_metrics for each in scope.metrics]
        if any(each.WhichOneof("data") for each in told):
            return Telemetry([], [], others=len(told))
    if spans is not None and not found:
        return Telemetry([], [])  # an export of nothing
    if any(len(span.trace) == 32 for span in found):
        return Telemetry(found, [])
    return InvalidTrace(Reason.NOT_OTLP, f"value: {len(value):,} bytes that are no OTLP; wanted spans, logs or metrics")


def _parsed(kind: type[M], value: bytes) -> M | None:
    message = kind()
    try:
        message.ParseFromString(value)
    except DecodeError:
        return None
    return message


def _spans(request: ExportTraceServiceRequest) -> list[Span]:
    return [
        _span(span, outer)
        for group in request.resource_spans
        for scope in group.scope_spans
        for outer in (_outer(group.resource, scope.scope),)
        for span in scope.spans
    ]


def _lines(request: ExportLogsServiceRequest) -> list[LogLine]:
    return [
        _line(record, outer)
        for group in request.resource_logs
        for scope in group.scope_logs
        for outer in (_outer(group.resource, scope.scope),)
        for record in scope.log_records
    ]


def _outer(resource: Resource, scope: InstrumentationScope) -> Attributes:
    return {SCOPE: scope.name, **_attributes(resource.attributes), **_attributes(scope.attributes)}


def _span(span: WireSpan, outer: Attributes) -> Span:
    status = span.status
    return Span(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _attributes(span.attributes),
        outer,
        [
            SpanEvent(event.name, event.time_unix_nano, _attributes(event.attributes))
            for event in span.events
            if is_wanted(event.name)
        ],
        status.code == _ERROR,
        status.message,
        span.dropped_attributes_count,
    )


def _line(record: LogRecord, outer: Attributes) -> LogLine:
    time_ns = record.time_unix_nano or record.observed_time_unix_nano
    event = SpanEvent(record.event_name, time_ns, _attributes(record.attributes), _value(record.body))
    return LogLine(record.trace_id.hex(), record.span_id.hex(), event, outer, record.dropped_attributes_count)


def _attributes(pairs: Iterable[KeyValue]) -> Attributes:
    return {pair.key: pair.value.string_value or _value(pair.value) for pair in pairs}  # most values are texts


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value) for pair in value.kvlist_value.values}
    return None if kind is None else getattr(value, kind)
