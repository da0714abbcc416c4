"""What a Prometheus series is declared by, and the collector that a declaration becomes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Part(StrEnum):
    """Which part of the program writes a series."""

    WORKER = "worker"
    CONTROLLER = "controller"
    SERVING = "serving"  # `serve-rewards`


@dataclass(frozen=True, slots=True)
class Series:
    """A declaration: the name as scraped, and what a reader of the number must know."""

    name: str
    kind: Kind
    part: Part
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  # upper edges, histograms only


def counter_of(series: Series, registry: CollectorRegistry) -> Counter:
    return Counter(series.name, series.help, series.labels, registry=registry)


def gauge_of(series: Series, registry: CollectorRegistry) -> Gauge:
    return Gauge(series.name, series.help, series.labels, registry=registry)


def histogram_of(series: Series, registry: CollectorRegistry) -> Histogram:
    return Histogram(series.name, series.help, series.labels, registry=registry, buckets=series.buckets)
