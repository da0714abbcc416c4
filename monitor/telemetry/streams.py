"""Counters of what the streams have folded, made of where they stand at each turn."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from monitor.domain.cohort import OTHER
from monitor.domain.stream import StreamKey, StreamStatus
from monitor.domain.text import for_metric
from monitor.telemetry.freshness import Clock, Freshness
from monitor.telemetry.stream_series import STREAM_COUNTERS

MODELS = 10  # policy models that are told apart; they come from the traces, and a label of Prometheus must be bounded
ADDED, TAKEN = "added", "taken"
Labels = tuple[str, ...]


class StreamCounters(Collector):
    """How many observations were folded, and their sum, since this process leads; a Prometheus counter never falls.

    What stood when the process took the lead was counted by the one before it, so it is where counting begins. A
    stream that is gone from the statuses, with its baseline, is exported no longer: what is held stays bounded.
    """

    def __init__(self, registry: CollectorRegistry, leader_seconds: float, clock: Clock) -> None:
        self._freshness = Freshness(leader_seconds, clock)
        self._lock = threading.Lock()
        self._stood: dict[StreamKey, tuple[int, float]] | None = None  # observations and sum, at the turn before
        self._observations: dict[Labels, float] = {}
        self._sums: dict[Labels, float] = {}
        self._models: list[str] = []
        registry.register(self)

    def show(self, statuses: Iterable[StreamStatus]) -> None:
        """Count what has come since the turn before."""
        known = {status.key: status for status in statuses}
        stands = {key: (status.observations, status.observations * status.mean) for key, status in known.items()}
        with self._lock:
            self._name_models(key.policy_model for key in known)
            came: Counter[Labels] = Counter()
            changed: dict[Labels, float] = {}
            for key, (observations, total) in stands.items():
                before = stands if self._stood is None else self._stood
                counted, summed = before.get(key, (0, 0.0))
                if observations < counted:  # a new baseline: the stream began again
                    counted, summed = 0, 0.0
                labels = self._labels(known[key])
                came[labels] += observations - counted
                changed[labels] = changed.get(labels, 0.0) + total - summed
            self._observations = {labels: self._observations.get(labels, 0.0) + count for labels, count in came.items()}
            self._sums = {
                (*labels, sign): self._sums.get((*labels, sign), 0.0) + max(value, 0.0)
                for labels, change in changed.items()
                for sign, value in ((ADDED, change), (TAKEN, -change))
            }
            self._stood = stands
            self._freshness.confirm()

    def withdraw(self) -> None:
        """Forget everything: another process leads, and counts."""
        with self._lock:
            self._freshness.forget()
            self._stood, self._observations, self._sums = None, {}, {}

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            tables = (self._observations, self._sums) if self._freshness.holds() else ({}, {})
        families = list(self.describe())
        for family, table in zip(families, tables, strict=True):
            for labels, value in table.items():
                family.add_metric(labels, value)
        return families

    def describe(self) -> Iterable[CounterMetricFamily]:
        return [CounterMetricFamily(series.name, series.help, labels=series.labels) for series in STREAM_COUNTERS]

    def _name_models(self, models: Iterable[str]) -> None:
        present = set(models)
        kept = [model for model in self._models if model in present]
        self._models = (kept + sorted(present.difference(kept)))[:MODELS]

    def _labels(self, status: StreamStatus) -> Labels:
        key = status.key
        model = key.policy_model if key.policy_model in self._models else OTHER
        return tuple(map(for_metric, (key.signal, key.cohort, model, status.unit)))
