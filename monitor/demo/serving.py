"""The demo's serving platform: it hears by webhook which policy to serve, and believes what is signed."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from monitor.domain.telling import ID_HEADER, SIGNATURE_HEADER, verify
from monitor.errors import InvalidInput


class ServingPlatform:
    """Takes announcements on a local port, from `with` on to its end; `heard` holds each once, in order."""

    def __init__(self, secret: str) -> None:
        self.heard: list[dict[str, Any]] = []
        self._secret = secret
        self._known: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="serving", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/policies"

    def __enter__(self) -> ServingPlatform:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: bytes, signature: str, number: str) -> int:
        """Return the status of a post: 204, or 403 for one that is not signed with the secret."""
        try:
            verify(self._secret, body, signature, now=time.time())
        except InvalidInput:
            return 403
        if number not in self._known:
            self._known.add(number)
            self.heard.append(json.loads(body))
        return 204

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status = platform.take(body, self.headers.get(SIGNATURE_HEADER, ""), self.headers.get(ID_HEADER, ""))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """The demo's log is the daemon's."""

        return Handler
