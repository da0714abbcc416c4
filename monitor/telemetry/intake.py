"""What a process exports of the labels that came to it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from monitor.domain.label import LabelOutcome, LabelSource
from monitor.telemetry import series
from monitor.telemetry.declaration import counter_of

UNKNOWN_SOURCE = "unknown"


class LabelCounts:
    """Counts labels, from 0, by what became of them and who judged; safe from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._labels = counter_of(series.RECEIVED_LABELS, registry)
        for outcome in LabelOutcome:
            for source in [UNKNOWN_SOURCE] if outcome == LabelOutcome.INVALID else LabelSource:
                self._labels.labels(outcome, source)

    def count(self, outcome: LabelOutcome, source: LabelSource) -> None:
        self._labels.labels(outcome, source).inc()

    def count_invalid(self, count: int) -> None:
        self._labels.labels(LabelOutcome.INVALID, UNKNOWN_SOURCE).inc(count)
