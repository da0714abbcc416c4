"""What runs, and where its console is, for whoever links to it."""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry

from monitor import __version__
from monitor.telemetry import series
from monitor.telemetry.declaration import gauge_of


def show_program(registry: CollectorRegistry, *, console_url: str | None) -> None:
    """Show which release runs, and *console_url* without its last slash; nothing of that where there is none."""
    show_build(registry)
    gauge = gauge_of(series.CONSOLE, registry)
    if console_url is not None:
        gauge.labels(console_url.rstrip("/")).set(1)


def show_build(registry: CollectorRegistry) -> None:
    gauge_of(series.BUILD, registry).labels(__version__, platform.python_version()).set(1)
