"""uvicorn in a thread of its own, with a clean stop."""

from __future__ import annotations

import socket
import threading
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from monitor.errors import InvalidSetting
from monitor.telemetry.health import Health
from monitor.web.connection import BoundedProtocol, ConnectionLimits

PART = "web"
_BACKLOG = 512
_GRACE_SECONDS = 5
USUAL_LIMITS = ConnectionLimits(body_seconds=10.0)  # a body has 16 kB at most, a batch of labels 1 MB


class WebServer:
    """Serve *app*; a failure of the serving thread is recorded on *health* as part "web".

    *settings_part* holds the `host` and `port` that a message about them names.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        health: Health,
        settings_part: str = "web",
        limits: ConnectionLimits = USUAL_LIMITS,
    ) -> None:
        self._settings_part = settings_part
        self._host = host
        self._port = port
        self._health = health
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=partial(BoundedProtocol, limits=limits),  # type: ignore[arg-type]
                h11_max_incomplete_event_size=limits.head_bytes,
                ws="none",
                proxy_headers=False,  # a client's address is its socket's; a header could name anybody
                lifespan="off",
                log_config=None,  # the process has configured its logs
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Listen and return the port, the one the system picked where 0 was asked for.

        Connections are accepted from here on. Raises `InvalidSetting` where
        host and port cannot be listened on.
        """
        listener = _listen(self._host, self._port, self._settings_part)

        def serve() -> None:
            with self._health.guard(PART), listener:
                self._server.run(sockets=[listener])

        self._thread = threading.Thread(target=serve, name="web", daemon=True)
        self._thread.start()
        self._health.set_ready(PART)
        port: int = listener.getsockname()[1]
        return port

    def stop(self) -> None:
        """Finish the requests in flight and close; harmless when called twice."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(2 * _GRACE_SECONDS)


def _listen(host: str, port: int, part: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InvalidSetting(
            f"{part}.host = {host!r}, {part}.port = {port}: {error.strerror}; choose an address of this machine "
            f"and a port that nobody uses"
        ) from None
