"""The client of the released policy: what it sends, and what becomes of each kind of answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from monitor.domain.reference import AnswerOutcome, ReferenceAnswer
from monitor.domain.trace import Message
from monitor.reference.http import LONGEST_RETRY_SECONDS, HttpReference, ReferenceEndpoint

PROMPT = [Message("system", "Be brief."), Message("user", "Why?")]
GOOD = {
    "choices": [{"message": {"content": "Because."}, "finish_reason": "stop"}],
    "usage": {"completion_tokens": 3, "total_tokens": 12},
}


class InMemoryPolicy:
    """Answers every request as it is told: status, headers, parts of the body, seconds between the parts."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.parts = [json.dumps(GOOD).encode()]
        self.pause_seconds = 0.0
        self.models = ["chat"]
        self.asked: list[tuple[str, dict[str, Any], str | None]] = []
        self.url = ""


@pytest.fixture
def policy() -> Iterator[InMemoryPolicy]:
    told = InMemoryPolicy()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            self.wfile.write(json.dumps({"data": [{"id": name} for name in told.models]}).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.asked.append((self.path, body, self.headers.get("Authorization")))
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for part in told.parts:
                    self.wfile.write(part)
                    time.sleep(told.pause_seconds)
            except (BrokenPipeError, ConnectionResetError):
                pass  # who asked has had enough

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


def ask(url: str, **changes: Any) -> ReferenceAnswer:
    usual: dict[str, Any] = {"model": "chat", "temperature": None, "max_tokens": None, "timeout_seconds": 2.0}
    client = HttpReference(ReferenceEndpoint(url=url, concurrency=2, **(usual | changes)))
    try:
        return client.ask(PROMPT)
    finally:
        client.close()


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_a_prompt_is_sent_as_it_was_logged_with_the_sampling_that_is_set(policy: InMemoryPolicy, end: str) -> None:
    answer = ask(policy.url + end, temperature=0.7, max_tokens=64, api_key="secret")
    assert answer == ReferenceAnswer(AnswerOutcome.ANSWERED, "Because.", "stop", 3, 12)
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    body = {"model": "chat", "messages": turns, "temperature": 0.7, "max_tokens": 64}
    assert policy.asked == [("/v1/chat/completions", body, "Bearer secret")]


def test_the_only_model_needs_no_name_and_several_do(policy: InMemoryPolicy) -> None:
    assert ask(policy.url, model=None).outcome is AnswerOutcome.ANSWERED
    assert policy.asked[0][1] == {"model": "chat", "messages": policy.asked[0][1]["messages"]}
    policy.models = ["chat", "other"]
    assert ask(policy.url, model=None).detail == "it serves 2 models: name one in drift.reference.model"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (302, AnswerOutcome.UNAVAILABLE),
        (400, AnswerOutcome.REJECTED),
        (401, AnswerOutcome.UNAVAILABLE),
        (404, AnswerOutcome.UNAVAILABLE),
        (408, AnswerOutcome.TIMED_OUT),
        (413, AnswerOutcome.REJECTED),
        (422, AnswerOutcome.REJECTED),
        (429, AnswerOutcome.UNAVAILABLE),
        (500, AnswerOutcome.FAILED),
        (503, AnswerOutcome.UNAVAILABLE),
        (504, AnswerOutcome.TIMED_OUT),
    ],
)
def test_a_status_says_whether_the_prompt_the_answer_or_the_server_is_at_fault(
    policy: InMemoryPolicy, status: int, outcome: AnswerOutcome
) -> None:
    policy.status, policy.headers = status, {"Location": "/elsewhere"}
    assert ask(policy.url).outcome is outcome


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("-1", 0.0, id="the past"),
        pytest.param("1e9", LONGEST_RETRY_SECONDS, id="too long"),
        pytest.param("nan", None, id="no number"),
        pytest.param("soon", None, id="a word"),
        pytest.param("in 90 seconds", 90.0, id="a date"),
    ],
)
def test_retry_after_is_read_in_either_form(policy: InMemoryPolicy, header: str, seconds: float | None) -> None:
    if header == "in 90 seconds":
        header = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    policy.status, policy.headers = 429, {"Retry-After": header}
    found = ask(policy.url).retry_after_seconds
    assert found == (seconds if seconds is None else pytest.approx(seconds, abs=60))


def test_an_answer_that_drips_in_is_given_up_in_time(policy: InMemoryPolicy) -> None:
    policy.parts, policy.pause_seconds = [b" "] * 400, 0.1
    started = time.monotonic()
    assert ask(policy.url, timeout_seconds=0.5).outcome is AnswerOutcome.TIMED_OUT
    assert time.monotonic() - started < 15.0


def test_an_answer_without_end_is_given_up(policy: InMemoryPolicy) -> None:
    policy.parts = [b" " * 1_000_000] * 20
    assert ask(policy.url, timeout_seconds=20.0).outcome is AnswerOutcome.GARBLED


def test_an_answer_that_the_limit_cut_says_so(policy: InMemoryPolicy) -> None:
    cut = {"choices": [{"message": {"content": "Because of"}, "finish_reason": "length"}], "usage": None}
    policy.parts = [json.dumps(cut).encode()]
    assert ask(policy.url) == ReferenceAnswer(AnswerOutcome.CUT, "Because of", "length")


def test_nobody_there_is_no_answer_of_anybody() -> None:
    assert ask("http://127.0.0.1:9").outcome is AnswerOutcome.UNAVAILABLE
