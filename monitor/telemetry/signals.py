"""What a user's own signals export."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from monitor.telemetry import series
from monitor.telemetry.declaration import counter_of


class SignalCounts:
    """Each of *names* is exported from 0; safe from any thread."""

    def __init__(self, registry: CollectorRegistry, names: Iterable[str] = ()) -> None:
        self._failures = counter_of(series.SIGNAL_FAILURES, registry)
        for name in names:
            self._failures.labels(name)

    def count_failures(self, signal: str, count: int) -> None:
        """Count traces for which *signal*, a name of the settings, had no value though it was asked for one."""
        self._failures.labels(signal).inc(count)
