"""The demo's released policy behind a real server, which a test may trouble: slow, away, garbled, busy."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from monitor.demo.policy import PolicyServer
from monitor.demo.traffic import NORMAL, Phase


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # before it comes


Trouble = Callable[[int, str], Reply | None]  # by the request's number and its last message; None: the policy answers


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a busy machine accepts late, and whom the queue has no room for asks again in a second


class TroubledServer:
    """Counts what it is asked, by the prompt's last message, and what of it the policy answered."""

    def __init__(self, phase: Phase = NORMAL, *, trouble: Trouble = lambda _number, _prompt: None) -> None:
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.keys: set[str | None] = set()
        self.trouble = trouble
        self._policy = PolicyServer(phase, seed=1)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> TroubledServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._policy.close()

    def reply(self, body: bytes) -> Reply:
        prompt = json.loads(body)["messages"][-1]["content"]
        with self._lock:
            self.asked[prompt] += 1
            number = self.asked.total()
        troubled = self.trouble(number, prompt)
        if troubled is not None and troubled.body + bytes(troubled.status != 200):
            return troubled
        status, answer = self._policy.complete(body)
        with self._lock:
            self.answered[prompt] += status == 200
        seconds = 0.0 if troubled is None else troubled.seconds
        return Reply(status, json.dumps(answer).encode(), seconds=seconds)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                card = {"id": server._policy.model, "object": "model"}
                self.send(Reply(200, json.dumps({"object": "list", "data": [card]}).encode()))

            def do_POST(self) -> None:
                server.keys.add(self.headers.get("Authorization"))
                assert self.path == "/v1/chat/completions"
                self.send(server.reply(self.rfile.read(int(self.headers["Content-Length"]))))

            def send(self, reply: Reply) -> None:
                time.sleep(reply.seconds)
                try:
                    self.send_response(reply.status)
                    for name, value in ({"Content-Length": str(len(reply.body))} | dict(reply.headers)).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(reply.body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # who asked has gone

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
