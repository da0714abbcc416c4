"""The console and its API, served by the real server to whoever asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from monitor.telemetry.health import Health
from monitor.web.app import Ports, create_app
from monitor.web.routes.access import Login
from monitor.web.server import WebServer


@contextmanager
def served(
    ports: Ports, *, tokens: Mapping[str, str] | None = None, login: Login | None = None, port: int = 0
) -> Iterator[str]:
    """Serve *ports* on 127.0.0.1, at a port of its own unless one is given; yield the address, without a slash."""
    health = Health(["web"])
    app = create_app(ports, health=health, registry=CollectorRegistry(), tokens=tokens or {}, login=login)
    server = WebServer(app, host="127.0.0.1", port=port, health=health)
    try:
        yield f"http://127.0.0.1:{server.start()}"
    finally:
        server.stop()
