"""Notifications, as they are exported."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry

from monitor.telemetry import notify_series as series
from monitor.telemetry.declaration import counter_of
from monitor.telemetry.freshness import Clock, FreshGauges, Freshness
from monitor.telemetry.metrics import FRESH_SECONDS

OUTCOMES = ("sent", "failed", "refused")


class NotifyMetrics:
    """Written by the leader alone; what waits is withdrawn where it is not confirmed."""

    def __init__(
        self, registry: CollectorRegistry, *, leader_seconds: float = FRESH_SECONDS, clock: Clock = time.monotonic
    ) -> None:
        self._attempts = counter_of(series.NOTIFICATIONS, registry)
        self._waiting = FreshGauges(
            series.NOTIFICATION_WAIT, freshness=Freshness(leader_seconds, clock), registry=registry
        )

    def expect(self, receivers: Iterable[str]) -> None:
        """Let what never happened to *receivers* be a zero and not missing."""
        for receiver in receivers:
            for outcome in OUTCOMES:
                self._attempts.labels(receiver, outcome)

    def count(self, receiver: str, outcome: str) -> None:
        self._attempts.labels(receiver, outcome).inc()

    def show_waiting(self, seconds: Mapping[str, float]) -> None:
        self._waiting.show({(receiver,): waited for receiver, waited in seconds.items()})
