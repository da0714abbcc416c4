"""What a stranger can do to the server over a socket, before anybody asked who it is."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from monitor.errors import Unavailable
from monitor.telemetry.health import Health
from monitor.web.app import create_app
from monitor.web.connection import ConnectionLimits
from monitor.web.server import WebServer
from tests.unit.in_memory_ports import InMemoryMonitor, a_job

TOKEN = "a-token-of-an-operator"
SHORT = ConnectionLimits(head_seconds=0.5, body_seconds=0.5, write_seconds=0.5)
PATIENT = ConnectionLimits(head_seconds=2.0)
FEW = ConnectionLimits(connections_each=10)
ENOUGH_SECONDS = 40.0
LARGE_ANSWER = 50_000_000  # bytes: more than the buffers of two sockets


@pytest.fixture
def health() -> Health:
    return Health(["worker", "web"])


@pytest.fixture
def monitor() -> InMemoryMonitor:
    return InMemoryMonitor()


@pytest.fixture
def limits() -> ConnectionLimits:
    """Half a second for each phase of a request."""
    return SHORT


@pytest.fixture
def port(health: Health, monitor: InMemoryMonitor, limits: ConnectionLimits) -> Iterator[int]:
    """A server with one token."""
    app = create_app(monitor.ports(), health=health, registry=CollectorRegistry(), tokens={TOKEN: "operator"})
    server = WebServer(app, host="127.0.0.1", port=0, health=health, limits=limits)
    yield server.start()
    server.stop()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=ENOUGH_SECONDS)


def answer_of(connection: socket.socket) -> bytes:
    """Return what the server said until it closed."""
    said = b""
    try:
        while part := connection.recv(65_536):
            said += part
    except ConnectionResetError:
        pass
    return said


def pour(connection: socket.socket, part: bytes, *, most: int) -> int:
    """Send *part* again and again; return how many bytes were taken before the server closed."""
    sent = 0
    try:
        while sent < most:
            sent += connection.send(part)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


def get(port: int, path: str, token: str | None = None) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.get(f"http://127.0.0.1:{port}{path}", headers=headers, timeout=ENOUGH_SECONDS)


@pytest.mark.parametrize(
    "start",
    [b"GET / HTTP/1.1\r\nX: ", b"GET /", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10],
    ids=["one endless header", "an endless path", "endless headers"],
)
def test_a_head_without_an_end_is_refused_after_a_few_kilobytes(port: int, start: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(start)
        taken = pour(connection, b"a" * 4096 if not start.endswith(b"\r\n") else b"A: b\r\n" * 700, most=150_000_000)
    assert taken < 20_000_000  # what the two sockets' buffers hold; nothing of it is kept
    assert get(port, "/healthz").status_code == 200


def test_a_head_over_the_bound_is_refused_even_where_it_came_at_once(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000 + b"\r\n\r\n")
        assert answer_of(connection).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", b""),
        (b"GET /healthz HT", b"HTTP/1.1 408"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n", b"HTTP/1.1 408"),
        (
            b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
            b"HTTP/1.1 408",
        ),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", b"HTTP/1.1 200"),
    ],
    ids=["silence", "half a line", "half a head", "half a body", "half a body nobody reads"],
)
def test_half_a_request_is_ended_in_bounded_time(port: int, sent: bytes, said: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(sent)
        started = time.monotonic()
        assert answer_of(connection)[: len(b"HTTP/1.1 408")] == said
        assert time.monotonic() - started < ENOUGH_SECONDS / 2


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\nContent-Length: 10000\r\n\r\n"])
def test_a_request_that_drips_gets_no_more_time_for_each_drop(port: int, start: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(start)
        started = time.monotonic()
        try:
            while time.monotonic() - started < ENOUGH_SECONDS:
                connection.sendall(b"a")
                time.sleep(0.05)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert time.monotonic() - started < ENOUGH_SECONDS / 2


@pytest.mark.parametrize("limits", [PATIENT], ids=["two seconds"])
def test_a_connection_is_kept_between_requests_and_serves_the_next_one(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(3):  # together they take longer than a head may
            assert client.get("/healthz").status_code == 200
            time.sleep(0.8)


def test_a_client_that_leaves_its_answer_unread_is_let_go(port: int, monitor: InMemoryMonitor) -> None:
    monitor.kept = {1: a_job(1, error="x" * LARGE_ANSWER)}
    with connect(port) as connection:
        connection.sendall(
            b"GET /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
        )
        connection.recv(1)
        until(lambda: b"\n" in connection.recv(65_536, socket.MSG_PEEK))
        time.sleep(4 * SHORT.write_seconds)
        assert len(answer_of(connection)) < LARGE_ANSWER
    assert get(port, "/healthz").status_code == 200


@pytest.mark.parametrize("limits", [FEW], ids=["ten connections"])
def test_connections_over_the_bound_are_told_so_and_their_end_makes_room(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as held:
        for _ in range(FEW.connections_each):
            held.enter_context(connect(port)).sendall(b"GET")
        for _ in range(5):
            with connect(port) as connection:
                assert answer_of(connection).startswith(b"HTTP/1.1 503")
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "Too many connections at once: the newest are refused."
    ]
    until(lambda: _is_served(port))


def _is_served(port: int) -> bool:
    try:
        return get(port, "/healthz").status_code == 200
    except httpx.TransportError:
        return False


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ENOUGH_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_flood_of_garbage_does_not_flood_the_log(port: int, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(20):
        with connect(port) as connection:
            connection.sendall(b"\x16\x03\x01 garbage\r\n\r\n")
            assert answer_of(connection).startswith(b"HTTP/1.1 400")
    assert len([record for record in caplog.records if "Invalid HTTP" in record.message]) <= 1


def test_a_client_that_guesses_is_held_off_and_the_log_says_so_without_the_guess(port: int) -> None:
    with capture_logs() as logs:
        codes = [get(port, "/api/v1/whoami", f"guess-{number}").status_code for number in range(15)]
    assert codes == [401] * 10 + [429] * 5
    assert [entry["event"] for entry in logs] == ["login_refused"] * 10
    assert all(entry["client"] == "127.0.0.1" for entry in logs)
    assert "guess" not in str(logs)
    refused = get(port, "/api/v1/whoami", TOKEN)
    assert (refused.status_code, int(refused.headers["Retry-After"]) <= 60) == (429, True)
    assert get(port, "/healthz").status_code == 200


def test_who_is_logged_in_goes_on_while_somebody_guesses_from_the_same_address(port: int) -> None:
    assert get(port, "/api/v1/whoami", TOKEN).status_code == 200
    for number in range(15):
        get(port, "/api/v1/whoami", f"guess-{number}")
    assert get(port, "/api/v1/whoami", TOKEN).status_code == 200


def test_a_header_cannot_name_another_client(port: int) -> None:
    codes = [
        httpx.get(
            f"http://127.0.0.1:{port}/api/v1/whoami",
            headers={"Authorization": "Bearer x", "X-Forwarded-For": f"10.0.0.{number}"},
        ).status_code
        for number in range(12)
    ]
    assert codes[-1] == 429


def test_a_probe_says_in_plain_words_what_is_away_and_quotes_nobody(port: int, health: Health) -> None:
    quoted = 'PostgreSQL: connection to "db.internal" (10.1.2.3), port 5432 failed: password of user "monitor"'
    away = Unavailable(quoted, plain="PostgreSQL is away")
    health.set_not_ready("worker", str(away), plain=away.plain)
    assert get(port, "/readyz").json()["parts"] == {"worker": "PostgreSQL is away", "web": ""}
    health.set_not_ready("worker", quoted)
    assert get(port, "/readyz").json()["parts"]["worker"] == "it waits; the log says for what"
    assert health.ready()[1]["worker"] == quoted


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/metrics", "/readyz", "/static/console.js", "/api/openapi.json", "/api/v1/streams"]
)
def test_head_is_get_without_its_body(port: int, health: Health, path: str) -> None:
    health.set_ready("worker")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        head, got = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


def test_many_strangers_at_once_leave_the_probes_answered(port: int) -> None:
    """Eight clients open half requests without a pause; a ninth still gets its answers."""
    stop = threading.Event()

    def attack() -> None:
        while not stop.is_set():
            with connect(port) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nX: ")
                stop.wait(0.3)

    attackers = [threading.Thread(target=attack) for _ in range(8)]
    for attacker in attackers:
        attacker.start()
    try:
        assert [get(port, "/healthz").status_code for _ in range(20)] == [200] * 20
    finally:
        stop.set()
        for attacker in attackers:
            attacker.join()
