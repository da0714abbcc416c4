"""Spans, log records and metrics as OpenTelemetry's SDK exports them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from monitor.ingest.decode import DecodeLimits
from monitor.ingest.formats.otlp import decode
from monitor.ingest.outcome import Outcome
from monitor.ingest.part import Part
from monitor.ingest.record import Record

LIMITS = DecodeLimits(100_000, 100_000, timedelta(days=1), frozenset({"team", "service.name"}))
NOW = datetime(2026, 11, 22, tzinfo=UTC)
START_NS, END_NS = 1_795_247_606_000_000_000, 1_795_247_607_000_000_000
Attributes = Mapping[str, Any]


def span_bytes(
    attributes: Attributes,
    *,
    events: Sequence[tuple[str, Attributes]] = (),
    error: str | None = None,
    limits: SpanLimits | None = None,
    resource: Attributes | None = None,
) -> bytes:
    """Return the export of one span with *attributes*; *error* makes its status ERROR, with that message."""
    spans = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource(dict(resource or {})), span_limits=limits)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    span = provider.get_tracer("tests").start_span("a span", start_time=START_NS)
    for name, value in attributes.items():
        span.set_attribute(name, value)
    for place, (name, told) in enumerate(events):
        span.add_event(name, told, timestamp=START_NS + place)
    if error is not None:
        span.set_status(Status(StatusCode.ERROR, error))
    span.end(END_NS)
    provider.shutdown()
    return encode_spans(spans.get_finished_spans()).SerializeToString()


def log_bytes(name: str | None, attributes: Attributes, body: Any = None, *, traced: bool = True) -> bytes:
    """Return the export of one log record, in the context of a span unless it is not *traced*."""
    logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(resource=Resource({}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
    tracers = TracerProvider()
    with tracers.get_tracer("tests").start_as_current_span("call") if traced else nullcontext():
        record = LogRecord(timestamp=END_NS, event_name=name, attributes=dict(attributes), body=body)
        provider.get_logger("tests").emit(record)
    provider.shutdown()
    tracers.shutdown()
    return encode_logs(logs.get_finished_logs()).SerializeToString()


def metric_bytes() -> bytes:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    provider.get_meter("tests").create_histogram("gen_ai.client.token.usage").record(7, {"gen_ai.token.type": "input"})
    measured = reader.get_metrics_data()
    provider.shutdown()
    assert measured is not None
    return encode_metrics(measured).SerializeToString()


def outcomes(value: bytes | None, limits: DecodeLimits = LIMITS) -> list[Outcome]:
    return decode(Record("otlp_spans", 0, 0, None, value), limits, NOW)


def part(value: bytes, limits: DecodeLimits = LIMITS) -> Part:
    (found,) = outcomes(value, limits)
    assert isinstance(found, Part), found
    return found


def span_part(attributes: Attributes, **more: Any) -> Part:
    return part(span_bytes(attributes, **more))
