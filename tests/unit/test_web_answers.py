"""How answers travel: packed, and not at all where the client has them already."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from monitor.telemetry.health import Health
from monitor.web.app import create_app
from tests.unit.in_memory_ports import InMemoryMonitor, stored_alarm

TOKENS = {"view-me": "viewer"}


@pytest.fixture
def monitor() -> InMemoryMonitor:
    return InMemoryMonitor(stored={number: stored_alarm(number) for number in range(1, 20)})


def client_of(monitor: InMemoryMonitor, tokens: dict[str, str]) -> TestClient:
    app = create_app(monitor.ports(), health=Health([]), registry=CollectorRegistry(), tokens=tokens)
    return TestClient(app, base_url="http://127.0.0.1:8080", raise_server_exceptions=False)


@pytest.fixture
def local(monitor: InMemoryMonitor) -> TestClient:
    return client_of(monitor, {})


def test_a_long_answer_is_packed_for_whoever_can_unpack_it(local: TestClient) -> None:
    packed = local.get("/api/v1/alarms")
    plain = local.get("/api/v1/alarms", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 5
    assert packed.json() == plain.json()
    assert packed.headers["etag"] == plain.headers["etag"]
    assert packed.headers["vary"] == "Accept-Encoding"


def test_what_a_client_has_is_not_sent_again_until_it_changes(local: TestClient, monitor: InMemoryMonitor) -> None:
    first = local.get("/api/v1/alarms")
    known = {"If-None-Match": first.headers["etag"]}
    again = local.get("/api/v1/alarms", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "content-security-policy" in again.headers
    among = {"If-None-Match": f'"other", {first.headers["etag"].removeprefix("W/")}'}
    assert local.get("/api/v1/alarms", headers=among).status_code == 304
    monitor.stored[20] = stored_alarm(20)
    assert local.get("/api/v1/alarms", headers=known).status_code == 200


def test_a_refusal_has_no_tag_and_whoever_may_not_ask_learns_nothing_of_what_has_changed(
    monitor: InMemoryMonitor,
) -> None:
    guarded = client_of(monitor, TOKENS)
    tag = guarded.get("/api/v1/alarms", headers={"Authorization": "Bearer view-me"}).headers["etag"]
    refused = guarded.get("/api/v1/alarms", headers={"If-None-Match": tag})
    assert refused.status_code == 401
    assert "etag" not in refused.headers
    monitor.away = True
    known = {"Authorization": "Bearer view-me", "If-None-Match": tag}
    assert guarded.get("/api/v1/alarms", headers=known).status_code == 503


def test_files_of_the_console_keep_their_own_tags(local: TestClient) -> None:
    style = local.get("/static/console.css")
    assert style.headers["content-encoding"] == "gzip"
    assert local.get("/static/console.css", headers={"If-None-Match": style.headers["etag"]}).status_code == 304


def test_head_is_answered_as_get_without_its_body(local: TestClient) -> None:
    head, whole = local.head("/api/v1/alarms"), local.get("/api/v1/alarms")
    assert head.content == b""
    assert {name: head.headers[name] for name in ("etag", "content-length")} == {
        name: whole.headers[name] for name in ("etag", "content-length")
    }
