"""What becomes of answers that are put to judges, and of those that no refusal can be read of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.telemetry import series
from monitor.telemetry.declaration import counter_of

Registry = CollectorRegistry  # for whoever hands one on


class AnswerCounts(Collector):
    """The judges' outcomes, and what *uncovered* returns, answers by language, at each scrape."""

    def __init__(self, registry: CollectorRegistry, uncovered: Callable[[], Mapping[str, int]]) -> None:
        self._judged = counter_of(series.JUDGED, registry)
        self._uncovered = uncovered
        registry.register(self)

    def count_judged(self, signal: str, outcome: str, count: int) -> None:
        self._judged.labels(signal=signal, outcome=outcome).inc(count)

    def collect(self) -> Iterable[Metric]:
        [family] = self.describe()
        for language, count in sorted(self._uncovered().items()):
            family.add_metric((language,), count)
        return [family]

    def describe(self) -> list[CounterMetricFamily]:
        declared = series.UNCOVERED_REFUSALS
        return [CounterMetricFamily(declared.name, declared.help, labels=declared.labels)]
