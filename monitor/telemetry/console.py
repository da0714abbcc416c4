"""Where the console is, for whoever links to it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from monitor.telemetry import series
from monitor.telemetry.declaration import gauge_of


def show_console(url: str | None, registry: CollectorRegistry) -> None:
    """Show *url* without its last slash; nothing where there is none."""
    gauge = gauge_of(series.CONSOLE, registry)
    if url is not None:
        gauge.labels(url.rstrip("/")).set(1)
