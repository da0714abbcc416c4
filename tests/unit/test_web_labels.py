"""The door for labels: who comes in, and what a batch looks like."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from monitor.telemetry.health import Health
from monitor.web.app import create_app
from monitor.web.middleware import LONG_BODIES, MAX_BODY_BYTES
from tests.labels import label, wire
from tests.unit.in_memory_ports import InMemoryMonitor

TOKENS = {"view-me": "viewer", "label-me": "annotator", "run-me": "operator"}
PATH = "/api/v1/labels"


@pytest.fixture
def monitor() -> InMemoryMonitor:
    return InMemoryMonitor()


@pytest.fixture
def client(monitor: InMemoryMonitor) -> TestClient:
    app = create_app(monitor.ports(), health=Health(["web"]), registry=CollectorRegistry(), tokens=TOKENS)
    return TestClient(app, base_url="http://monitor.example.org", raise_server_exceptions=False)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def batch(*rows: bytes) -> bytes:
    return b'{"labels": [' + b", ".join(rows) + b"]}"


def test_annotators_and_operators_send_labels_and_viewers_and_operators_read_them(
    client: TestClient, monitor: InMemoryMonitor
) -> None:
    own = batch(wire(label(annotator_id=None)))
    sent = {token: client.post(PATH, content=own, headers=bearer(token)) for token in TOKENS}
    assert {token: answer.status_code for token, answer in sent.items()} == {
        "view-me": 403,
        "label-me": 200,
        "run-me": 200,
    }
    assert [actor.role for actor, _ in monitor.labels.posted] == ["annotator", "operator"]
    read = {token: client.get(PATH, params={"trace_id": "t"}, headers=bearer(token)).status_code for token in TOKENS}
    assert read == {"view-me": 200, "label-me": 403, "run-me": 200}
    assert client.post(PATH, content=batch(wire(label()))).status_code == 401


def test_a_batch_of_a_thousand_labels_goes_in_and_one_more_does_not(
    client: TestClient, monitor: InMemoryMonitor
) -> None:
    labels = [label(number, annotator_id=None) for number in range(1001)]
    rows = [wire(one) for one in labels]
    assert client.post(PATH, content=batch(*rows[:1000]), headers=bearer("run-me")).status_code == 200
    assert monitor.labels.posted[0][1] == labels[:1000]
    for wrong in (rows, []):
        refused = client.post(PATH, content=batch(*wrong), headers=bearer("label-me"))
        assert refused.status_code == 422
        assert "labels" in refused.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"{}",
        b'{"labels": {}}',
        b'{"labels": [1], "more": 1}',
        b'{"labels": ' + b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_batch_is_refused_with_what_was_wanted(client: TestClient, body: bytes) -> None:
    refused = client.post(PATH, content=body, headers=bearer("label-me"))
    assert refused.status_code == 422, refused.text
    assert 'send {"labels": [...]} with 1 to 1000 labels' in refused.json()["detail"]


def test_a_long_body_is_read_of_those_who_are_known_alone(client: TestClient, monitor: InMemoryMonitor) -> None:
    long = batch(*[wire(label(annotator_id=None, dimensions={"d" * 400: 1.0}))] * 40)
    assert len(long) > MAX_BODY_BYTES
    assert client.post(PATH, content=long, headers=bearer("label-me")).status_code == 200
    assert client.post("/api/v1/jobs", content=long, headers=bearer("run-me")).status_code == 413
    assert client.post(PATH, content=b" " * (LONG_BODIES[PATH] + 1), headers=bearer("label-me")).status_code == 413
    guesses = [client.post(PATH, content=long, headers=bearer("guess")).status_code for _ in range(11)]
    assert guesses == [401] * 10 + [429]  # before a byte of the body was read, and held off as any guess is
    assert client.post(PATH, content=long).status_code == 401
    assert len(monitor.labels.posted) == 1


def test_a_label_that_is_not_sound_is_refused_and_named(client: TestClient, monitor: InMemoryMonitor) -> None:
    rows = wire(label(1)), wire(label(2), value=2), wire(label(3), trace_id="")
    refused = client.post(PATH, content=batch(*rows), headers=bearer("run-me"))
    assert (refused.status_code, [row["index"] for row in refused.json()["rows"]]) == (422, [1, 2])
    assert monitor.labels.posted == []


def test_a_trace_s_labels_are_told_with_what_stands(client: TestClient, monitor: InMemoryMonitor) -> None:
    monitor.labels.said = [label(trace_id="t \u202e")]
    told = client.get(PATH, params={"trace_id": "t \u202e"}, headers=bearer("view-me")).json()
    assert (told[0]["label"]["trace_id"], told[0]["latest"], told[0]["withdrawn_at"]) == ("t \u202e", True, None)
    for wrong in ("", "t\x00", "t" * 513):
        assert client.get(PATH, params={"trace_id": wrong}, headers=bearer("view-me")).status_code == 422


def test_openapi_says_what_a_label_is(client: TestClient) -> None:
    post = client.get("/api/openapi.json").json()["paths"][PATH]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    row = schema["properties"]["labels"]["items"]
    assert (row["properties"]["value"]["maximum"], row["properties"]["source"]["enum"]) == (1, ["ai", "human", "user"])
    assert "$ref" not in json.dumps(schema)
