"""The series of `serve-rewards`, on a registry of their own."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

STATUSES = (200, 400, 404, 408, 413, 503)
FAILURES = ("tokenizer", "forward", "not_finite", "out_of_memory")
_ROWS = tuple(float(2**power) for power in range(13))


class ServingMetrics:
    """Safe from any thread; `render` is what `/metrics` answers."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self._requests = Counter(
            "monitor_serve_requests_total", "Answers of /classify by HTTP status.", ["status"], registry=registry
        )
        self._in_flight = Gauge(
            "monitor_serve_requests_in_flight", "Requests of /classify that are not answered yet.", registry=registry
        )
        self._rows = Histogram(
            "monitor_serve_batch_rows",
            "Rows that were scored together, of all requests that waited; each member scores each row.",
            registry=registry,
            buckets=_ROWS,
        )
        self._tokens = Counter(
            "monitor_scored_tokens_total",
            "Real tokens, padding excluded, that the reward ensemble has read, summed over its members.",
            registry=registry,
        )
        self._failures = Gauge(
            "monitor_serve_failed_scores",
            "Scores that could not be had since the start.",
            ["reason"],
            registry=registry,
        )
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
