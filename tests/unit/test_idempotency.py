"""A change that is sent twice under one key is made once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from monitor.domain.job import JobState
from monitor.domain.order import Actor, Role
from monitor.telemetry.health import Health
from monitor.web.app import create_app
from tests.unit.in_memory_ports import InMemoryMonitor

TOKENS = {"view-me": "viewer", "run-me": "operator", "run-too": "operator"}
START = {"action": "reward_refresh", "reason": "refusals rose"}


@pytest.fixture
def monitor() -> InMemoryMonitor:
    return InMemoryMonitor()


@pytest.fixture
def client(monitor: InMemoryMonitor) -> TestClient:
    app = create_app(monitor.ports(), health=Health(["postgres"]), registry=CollectorRegistry(), tokens=TOKENS)
    return TestClient(app, headers={"Authorization": "Bearer run-me"}, raise_server_exceptions=False)


def keyed(key: str, holder: str = "run-me") -> dict[str, str]:
    return {"Idempotency-Key": key, "Authorization": f"Bearer {holder}"}


def test_the_first_answer_comes_again_and_nothing_is_done_twice(client: TestClient, monitor: InMemoryMonitor) -> None:
    first = client.post("/api/v1/jobs", json=START, headers=keyed("k-1"))
    monitor.kept[1] = replace(monitor.kept[1], state=JobState.CANCELLED)
    again = client.post("/api/v1/jobs", json=START, headers=keyed("k-1"))
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(monitor.kept) == 1
    assert client.post("/api/v1/jobs", json=START, headers=keyed("k-2")).status_code == 201
    assert len(monitor.kept) == 2


def test_a_refusal_is_kept_too_but_not_one_that_did_nothing(client: TestClient, monitor: InMemoryMonitor) -> None:
    for _ in range(2):
        missing = client.post("/api/v1/jobs/7/cancel", headers=keyed("k-1"))
        assert missing.status_code == 404
    assert missing.headers["idempotency-replayed"] == "true"
    assert missing.headers["content-type"] == "application/problem+json"
    assert client.post("/api/v1/jobs", json=START, headers=keyed("k-2", "view-me")).status_code == 403
    assert [key for _, key in monitor.keys.taken] == ["k-1"]


def test_a_key_with_another_body_or_path_is_refused(client: TestClient, monitor: InMemoryMonitor) -> None:
    assert client.post("/api/v1/jobs", json=START, headers=keyed("k-1")).status_code == 201
    for path, body in (("/api/v1/jobs", START | {"reason": "other"}), ("/api/v1/jobs?x=1", START)):
        other = client.post(path, json=body, headers=keyed("k-1"))
        assert (other.status_code, "another request" in other.json()["detail"]) == (422, True)
    assert len(monitor.kept) == 1
    mine = client.post("/api/v1/jobs", json=START, headers=keyed("k-1", "run-too"))
    assert mine.status_code == 409  # another holder's key is a key of its own


def test_a_request_that_goes_on_or_never_ended_is_not_made_again(client: TestClient, monitor: InMemoryMonitor) -> None:
    client.post("/api/v1/jobs", json=START, headers=keyed("k-1"))
    (held,) = monitor.keys.taken
    assert held[0] == Actor(held[0].name, Role.OPERATOR)
    monitor.keys.taken[held] = (monitor.keys.taken[held][0], None)
    told = client.post("/api/v1/jobs", json=START, headers=keyed("k-1"))
    assert (told.status_code, told.headers["retry-after"]) == (409, "1")


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ü"])
def test_a_key_that_is_none_is_refused(client: TestClient, key: str, monitor: InMemoryMonitor) -> None:
    sent = [(b"Idempotency-Key", key.encode("latin-1")), (b"Authorization", b"Bearer run-me")]
    refused = client.post("/api/v1/jobs", json=START, headers=sent)
    assert refused.status_code == 422
    assert monitor.kept == {}


def test_a_secret_that_was_told_once_is_not_kept_to_be_told_again(client: TestClient, monitor: InMemoryMonitor) -> None:
    order = {"name": "ci", "role": "viewer"}
    made = client.post("/api/v1/tokens", json=order, headers=keyed("k-1"))
    assert made.status_code in {200, 201}
    again = client.post("/api/v1/tokens", json=order, headers=keyed("k-1"))
    assert (again.status_code, "kept nowhere" in again.json()["detail"]) == (409, True)
    assert made.json()["token"] not in str(monitor.keys.taken)


def test_reads_pass_a_key_over(client: TestClient, monitor: InMemoryMonitor) -> None:
    assert client.get("/api/v1/jobs", headers=keyed("k-1")).status_code == 200
    assert monitor.keys.taken == {}
