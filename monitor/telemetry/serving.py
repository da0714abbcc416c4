"""The series of `serve-rewards`, on a registry of their own."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from monitor.telemetry import series
from monitor.telemetry.declaration import counter_of, gauge_of, histogram_of
from monitor.telemetry.program import show_build

STATUSES = (200, 400, 404, 408, 413, 503)
FAILURES = ("tokenizer", "forward", "not_finite", "out_of_memory")


class ServingMetrics:
    """Safe from any thread; `render` is what `/metrics` answers."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        show_build(registry)
        self._requests = counter_of(series.SERVE_REQUESTS, registry)
        self._in_flight = gauge_of(series.SERVE_IN_FLIGHT, registry)
        self._rows = histogram_of(series.SERVE_BATCH_ROWS, registry)
        self._tokens = counter_of(series.SCORED_TOKENS, registry)
        self._failures = gauge_of(series.SERVE_FAILED_SCORES, registry)
        for status in STATUSES:
            self._requests.labels(status)

    def count_request(self, status: int) -> None:
        self._requests.labels(status).inc()

    def follow_in_flight(self, count: Callable[[], int]) -> None:
        """Show what *count* returns when scraped."""
        self._in_flight.set_function(count)

    def observe_batch(self, *, rows: int, tokens: int) -> None:
        self._rows.observe(rows)
        self._tokens.inc(tokens)

    def show_failures(self, failures: Counts[str]) -> None:
        for reason in FAILURES:
            self._failures.labels(reason).set(failures[reason])

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the series and their media type, as the scraper's Accept header wants them."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type
