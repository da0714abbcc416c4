"""Gauges that are exported only while what they tell is known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from math import inf

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from monitor.domain.text import for_metric
from monitor.telemetry.declaration import Series

Rows = Mapping[tuple[str, ...], float]  # values by the series' labels, in their order
Clock = Callable[[], float]


class Freshness:
    """When something was last confirmed; safe from any thread."""

    def __init__(self, limit_seconds: float, clock: Clock) -> None:
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._renewed_since = -inf

    def confirm(self) -> None:
        self._renewed_since = self._clock()

    def forget(self) -> None:
        self._renewed_since = -inf

    def holds(self) -> bool:
        """Say whether the last confirmation is young enough; a thread that hangs confirms nothing."""
        return self._clock() - self._renewed_since <= self._limit_seconds


class FreshGauges(Collector):
    """Gauges that one call shows together and that are withdrawn together.

    A scrape sees all of one `show` or nothing of it, and nothing once *freshness* has run out: a number that
    nobody confirms any more would look like health.
    """

    def __init__(self, *series: Series, freshness: Freshness, registry: CollectorRegistry) -> None:
        self._series = series
        self._freshness = freshness
        self._lock = threading.Lock()
        self._tables: tuple[Rows, ...] = ()
        registry.register(self)

    def show(self, *tables: Rows) -> None:
        """Replace what is shown, one table for each series, in the order in which they were given."""
        assert len(tables) == len(self._series)
        shown = tuple({tuple(map(for_metric, labels)): value for labels, value in table.items()} for table in tables)
        with self._lock:
            self._tables = shown
            self._freshness.confirm()

    def withdraw(self) -> None:
        with self._lock:
            self._freshness.forget()

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            known = self._freshness.holds()
            tables = self._tables
        families = list(self.describe())
        for family, table in zip(families, tables if known else (), strict=False):
            for labels, value in table.items():
                family.add_metric(labels, value)
        return families

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [GaugeMetricFamily(series.name, series.help, labels=series.labels) for series in self._series]
