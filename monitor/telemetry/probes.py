"""What probes of the live model export."""

from __future__ import annotations

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from monitor.telemetry import probe_series as series
from monitor.telemetry.declaration import counter_of
from monitor.telemetry.freshness import Clock, FreshGauges, Freshness, Rows
from monitor.telemetry.metrics import FRESH_SECONDS


class ProbeMetrics:
    """Written by the leader alone; gauges are withdrawn where it does not confirm them."""

    def __init__(
        self, registry: CollectorRegistry, *, leader_seconds: float = FRESH_SECONDS, clock: Clock = time.monotonic
    ) -> None:
        self._runs = counter_of(series.PROBE_RUNS, registry)
        self._shown = FreshGauges(*series.PROBE_GAUGES, freshness=Freshness(leader_seconds, clock), registry=registry)

    def count_probe_run(self, suite: str, state: str) -> None:
        self._runs.labels(suite, state).inc()

    def show_probes(self, rate: Rows, answered: Mapping[str, bool], last_run: Mapping[str, float]) -> None:
        """Show rates by suite, signal and bound, which suites were answered, and when each was asked last."""
        self._shown.show(
            rate, {(s,): float(up) for s, up in answered.items()}, {(s,): at for s, at in last_run.items()}
        )
