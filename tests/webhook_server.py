"""A real HTTP server that is told of policies: it keeps what was posted, and answers as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Posted:
    headers: Mapping[str, str]
    body: bytes


class WebhookServer:
    def __init__(self, answer: Callable[[int], int] = lambda _number: 200) -> None:
        self.posted: list[Posted] = []
        self.answer = answer  # the status, by the request's number from 1; may take its time
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/policies"

    def __enter__(self) -> WebhookServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told.posted.append(Posted(dict(self.headers.items()), body))
                status = told.answer(len(told.posted))
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                if status >= 400:
                    self.wfile.write(b"not \x1b[2J today")

            def log_message(self, *_: object) -> None:
                pass

        return Handler
