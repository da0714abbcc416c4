"""The demo's assistant behind an OpenAI-compatible server: what is asked again is asked here."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from types import TracebackType
from typing import Any

import msgspec

from monitor.demo.texts.composer import CHARACTERS_PER_TOKEN, count_tokens
from monitor.demo.texts.recogniser import recognise
from monitor.demo.traffic import MAX_TOKENS, Phase, respond


class _Turn(msgspec.Struct, frozen=True):
    role: str
    content: str


class _Asked(msgspec.Struct, frozen=True):
    model: str
    messages: list[_Turn]
    max_tokens: int = MAX_TOKENS


class PolicyServer:
    """Serves the assistant as it is in *phase* on a local port, from `with` on to its end."""

    def __init__(self, phase: Phase, *, seed: int) -> None:
        self.requests = 0
        self._phase = phase
        self._rng = Random(f"{phase.name}:policy:{seed}")
        self._turn = threading.Lock()  # a Random is for one thread
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="policy", daemon=True)

    @property
    def model(self) -> str:
        return self._phase.policy_model

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> PolicyServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self.close()

    def close(self) -> None:
        self._server.server_close()

    def complete(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Return status and answer to a request of `/v1/chat/completions`."""
        try:
            asked = msgspec.json.decode(body, type=_Asked)
        except msgspec.MsgspecError as error:
            return 400, {"error": {"message": str(error)}}
        users = [turn.content for turn in asked.messages if turn.role == "user"]
        question = recognise(users[0]) if users else None
        if question is None:
            return 400, {"error": {"message": "the assistant knows no such question"}}
        if len(users) > 1:  # a follow-up wants the details
            question = replace(question, text=users[-1], opening=None)
        with self._turn:
            self.requests += 1
            text, _ = respond(self._rng, self._phase, question)
        longest = int(min(asked.max_tokens, MAX_TOKENS) * CHARACTERS_PER_TOKEN)
        cut, tokens = len(text) > longest, count_tokens(text[:longest])
        prompt_tokens = sum(count_tokens(turn.content) for turn in asked.messages)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text[:longest]},
            "finish_reason": "length" if cut else "stop",
        }
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": prompt_tokens + tokens,
        }
        return 200, {"object": "chat.completion", "model": asked.model, "choices": [choice], "usage": usage}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self.reply(200, {"object": "list", "data": [{"id": server.model, "object": "model"}]})

            def do_POST(self) -> None:
                self.reply(*server.complete(self.rfile.read(int(self.headers.get("Content-Length", "0")))))

            def reply(self, status: int, answer: dict[str, Any]) -> None:
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """The demo's log is the daemon's."""

        return Handler
