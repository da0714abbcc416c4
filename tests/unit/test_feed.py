"""The stream of changes, through a real server and a socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import Request
from fastapi.security import HTTPAuthorizationCredentials
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from monitor.domain.job import JobState
from monitor.domain.order import Actor
from monitor.telemetry.health import Health
from monitor.web.app import create_app
from monitor.web.auth import Gatekeeper, Guard
from monitor.web.feed import Feed
from monitor.web.server import WebServer
from tests.unit.in_memory_ports import InMemoryMonitor, a_job, stored_alarm

PATH = "/api/v1/overview/changes"
ALL_PARTS = {"counts", "incidents", "streams", "jobs", "models", "health"}
WAIT_SECONDS = 20.0


class Looking(InMemoryMonitor):
    """Counts how often it is looked at; `broken` makes looking fail as a bug does."""

    looks = 0
    broken = False

    def versions(self) -> dict[str, str]:
        self.looks += 1
        if self.broken:
            raise ZeroDivisionError
        return super().versions()


class Reader:
    """One open stream, event by event."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.iter_lines()

    def block(self) -> list[str]:
        lines = list[str]()
        for line in self._lines:
            if not line:
                return lines
            lines.append(line)
        raise EOFError

    def event(self) -> tuple[str, dict[str, Any]]:
        while not (lines := self.block())[0].startswith("event: "):
            pass
        return lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))


@pytest.fixture
def monitor() -> Looking:
    return Looking()


@dataclass
class Served:
    address: str
    stop: Callable[[], None]


@contextmanager
def serving(
    monitor: InMemoryMonitor,
    feed: dict[str, Any],
    tokens: dict[str, str] | None = None,
    slow: threading.Event | None = None,  # set when somebody is asked who they are, which then takes a while
) -> Iterator[Served]:
    health = Health(["web"])
    app = create_app(monitor.ports(), health=health, registry=CollectorRegistry(), tokens=tokens or {})
    app.state.feed = Feed(lambda: monitor.versions() | {"health": ""}, **{"look_seconds": 0.05, **feed})
    if slow is not None:
        app.state.gatekeeper = SlowGatekeeper(slow)
    server = WebServer(app, host="127.0.0.1", port=0, health=health)
    try:
        yield Served(f"http://127.0.0.1:{server.start()}", server.stop)
    finally:
        server.stop()


class SlowGatekeeper(Gatekeeper):
    def __init__(self, arrived: threading.Event) -> None:
        super().__init__(Guard({}, {}))
        self._arrived = arrived

    def admit(self, request: Request, credentials: HTTPAuthorizationCredentials | None) -> Actor:
        self._arrived.set()
        time.sleep(0.5)
        return super().admit(request, credentials)


@contextmanager
def opened(address: str, **headers: str) -> Iterator[Reader]:
    with httpx.stream("GET", address + PATH, headers=headers, timeout=WAIT_SECONDS) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in response.headers
        yield Reader(response)


def until(condition: Any) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_first_event_names_every_part_and_a_later_one_what_has_changed(monitor: Looking) -> None:
    with serving(monitor, {}) as server, opened(server.address) as reader:
        name, first = reader.event()
        assert (name, set(first)) == ("changed", ALL_PARTS)
        monitor.kept[1] = a_job(1, JobState.RUNNING)
        name, second = reader.event()
        assert (name, set(second)) == ("changed", {"jobs"})
        assert second["jobs"] != first["jobs"]
        monitor.stored[1] = stored_alarm(1)
        assert set(reader.event()[1]) == {"counts", "incidents", "streams"}


def test_a_database_that_is_away_is_news_and_so_is_its_return(monitor: Looking) -> None:
    with serving(monitor, {}) as server, opened(server.address) as reader:
        reader.event()
        monitor.away = True
        assert reader.event() == ("away", {"detail": "PostgreSQL is away, or refuses its work"})
        monitor.away = False
        name, versions = reader.event()
        assert (name, set(versions)) == ("changed", ALL_PARTS)


def test_a_heartbeat_says_that_a_silent_stream_is_alive(monitor: Looking) -> None:
    with serving(monitor, {"heartbeat_seconds": 0.05}) as server, opened(server.address) as reader:
        reader.event()
        assert reader.block() == [": still here"]
        assert reader.block() == [": still here"]


def test_one_look_serves_all_streams_and_nobody_looks_where_nobody_listens(monitor: Looking) -> None:
    with serving(monitor, {"look_seconds": 0.2}) as server:
        with opened(server.address) as first, opened(server.address) as second, opened(server.address) as third:
            for reader in (first, second, third):
                assert reader.event()[0] == "changed"
            before, began = monitor.looks, time.monotonic()
            until(lambda: monitor.looks >= before + 3)
            assert time.monotonic() - began >= 0.4
        time.sleep(0.5)
        after = monitor.looks
        time.sleep(0.5)
        assert monitor.looks == after
        with opened(server.address) as again:
            assert set(again.event()[1]) == ALL_PARTS


def test_streams_are_bounded_and_one_that_is_closed_makes_room(monitor: Looking) -> None:
    with serving(monitor, {"max_streams": 1}) as server:
        with opened(server.address) as reader:
            reader.event()
            refused = httpx.get(server.address + PATH)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
            assert "ask again" in refused.json()["detail"]
        until(lambda: is_open(server.address))


def is_open(address: str) -> bool:
    with httpx.stream("GET", address + PATH, timeout=WAIT_SECONDS) as response:
        return response.status_code == 200


def test_a_stream_is_for_those_who_may_look(monitor: Looking) -> None:
    with serving(monitor, {}, {"view-me": "viewer", "label-me": "annotator"}) as server:
        assert httpx.get(server.address + PATH).status_code == 401
        assert httpx.get(server.address + PATH, headers={"Authorization": "Bearer label-me"}).status_code == 403
        with opened(server.address, Authorization="Bearer view-me") as reader:
            assert reader.event()[0] == "changed"


def test_head_holds_no_stream(monitor: Looking) -> None:
    with serving(monitor, {"max_streams": 1}) as server, httpx.Client(timeout=WAIT_SECONDS) as client:
        assert client.head(server.address + PATH).status_code == 200
        until(lambda: is_open(server.address))


def test_a_server_that_stops_ends_its_streams_at_once(monitor: Looking) -> None:
    with serving(monitor, {}) as server, opened(server.address) as reader:
        reader.event()
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 4.0  # for requests in flight it would wait five seconds
        with pytest.raises(EOFError):
            reader.event()


def test_a_stream_that_is_asked_for_while_the_server_stops_does_not_begin(monitor: Looking) -> None:
    arrived = threading.Event()
    with serving(monitor, {}, slow=arrived) as server:
        asking = threading.Thread(target=lambda: suppressed(server.address))
        asking.start()
        assert arrived.wait(WAIT_SECONDS)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 4.0
        asking.join(WAIT_SECONDS)
        assert not asking.is_alive()


def suppressed(address: str) -> None:
    with suppress(httpx.HTTPError):
        httpx.get(address + PATH, timeout=WAIT_SECONDS)


def test_a_stream_ends_after_its_time_so_that_who_listens_is_asked_again_who_they_are(monitor: Looking) -> None:
    with serving(monitor, {"stream_seconds": 0.2}) as server, opened(server.address) as reader:
        assert reader.event()[0] == "changed"
        with pytest.raises(EOFError):
            reader.event()


def test_where_looking_fails_streams_end_and_the_log_says_why(monitor: Looking) -> None:
    with serving(monitor, {}) as server, opened(server.address) as reader, capture_logs() as logs:
        reader.event()
        monitor.broken = True
        with pytest.raises(EOFError):
            reader.event()
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["feed_failed"]
