"""The providers that a producer is given, and what it exports."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TOOL = {
    "name": "weather", "description": "Tell the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}  # fmt: skip


class Watched:
    """The providers that a producer is given, and what it exports."""

    def __init__(self) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        resource = Resource({"service.name": "shop-assistant"})
        self.tracers, self.loggers = TracerProvider(resource=resource), LoggerProvider(resource=resource)
        self.spans, self.logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.loggers.add_log_record_processor(SimpleLogRecordProcessor(self.logs))
        trace.set_tracer_provider(self.tracers)

    @contextmanager
    def request(self, call: dict[str, Any]) -> Iterator[None]:
        """Stand around one call, as the span of a web server does; it says whose the call is."""
        who = {"session.id": call["name"], "user.id": "u-1"}
        with self.tracers.get_tracer("tests").start_as_current_span("handle-request", attributes=who):
            yield

    def exported(self) -> Iterator[Any]:
        from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

        self.tracers.force_flush()
        yield encode_spans(self.spans.get_finished_spans())
        if lines := self.logs.get_finished_logs():
            yield encode_logs(lines)


def drained(streamed: Any) -> None:
    deque(streamed, maxlen=0)
