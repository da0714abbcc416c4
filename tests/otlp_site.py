"""A site whose topics hold OpenTelemetry's spans and log records, as real producers wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.program import Site, running, wait_for
from tests.recordings import recorded, script


@dataclass(frozen=True)
class OtlpSite(Site):
    """Spans and log records on a topic each; `traces` is there and stays empty."""

    join_seconds: float = 30.0

    def __post_init__(self) -> None:
        Site.__post_init__(self)
        self.kafka.create_topic(self.spans, self.partitions)
        self.kafka.create_topic(self.logs, self.partitions)

    @property
    def spans(self) -> str:
        return f"spans-{self.name}"

    @property
    def logs(self) -> str:
        return f"logs-{self.name}"

    def form(self) -> dict[str, dict[str, Any]]:
        form = Site.form(self)
        routes = [{"topic": topic, "carries": "traces", "format": "otlp"} for topic in (self.spans, self.logs)]
        form["kafka"]["routes"] = routes
        form["ingest"]["join"] = {"seconds": self.join_seconds}
        return form

    def end_waiting(self) -> None:
        """Let what waits have waited long enough: a test need not guess how long a busy machine takes for the rest."""
        with psycopg.connect(self.postgres_url) as connection:
            connection.execute(
                "update fragment set due_at = now(), received_at = received_at - make_interval(secs => %s)",
                [self.join_seconds],
            )

    def answers(self) -> list[str | None]:
        """Return the answers of what is stored, in the order of time."""
        return [response for (response,) in self.query("select response from trace order by timestamp")]


@contextmanager
def two_workers(site: Site) -> Iterator[None]:
    """Run two daemons of one group in this process, one started after the other.

    FastAPI silences a warning while an app is made, for the whole process: two at once would undo each other's.
    """
    with running(site.settings()) as one:
        wait_for(lambda: one.port > 0, "the first worker")
        with running(site.settings()) as other:
            wait_for(lambda: other.port > 0, "the second worker")
            yield


def scripted_answers() -> list[str | None]:
    return [call.response for call in script()]


def spans_of(name: str) -> list[bytes]:
    """Return the spans of a recording, each in a record of its own."""
    return [piece for record in recorded(name, json_encoded=False) if record.topic == "otlp_spans"
            for piece in _split_spans(record.value or b"")]  # fmt: skip


def logs_of(name: str) -> list[bytes]:
    """Return the log records of a recording, each in a record of its own."""
    return [piece for record in recorded(name, json_encoded=False) if record.topic == "otlp_logs"
            for piece in _split_logs(record.value or b"")]  # fmt: skip


def _split_spans(value: bytes) -> list[bytes]:
    found = []
    for resource in ExportTraceServiceRequest.FromString(value).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                alone = ExportTraceServiceRequest()
                into = alone.resource_spans.add(resource=resource.resource)
                into.scope_spans.add(scope=scope.scope, spans=[span])
                found.append(alone.SerializeToString())
    return found


def _split_logs(value: bytes) -> list[bytes]:
    found = []
    for resource in ExportLogsServiceRequest.FromString(value).resource_logs:
        for scope in resource.scope_logs:
            for line in scope.log_records:
                alone = ExportLogsServiceRequest()
                into = alone.resource_logs.add(resource=resource.resource)
                into.scope_logs.add(scope=scope.scope, log_records=[line])
                found.append(alone.SerializeToString())
    return found
