"""Labels by the API, over a real PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text

from monitor.app.ports import ports_of
from monitor.settings.root import Settings
from monitor.telemetry.health import Health
from monitor.telemetry.intake import LabelCounts
from monitor.web.app import create_app
from tests.hostile import names
from tests.labels import label, wire
from tests.traces import START

PATH = "/api/v1/labels"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def client(engine: Engine, registry: CollectorRegistry) -> TestClient:
    ports = ports_of(engine, Settings(), counts=LabelCounts(registry))
    app = create_app(ports, health=Health(["web"]), registry=registry, tokens={})
    headers = {"X-Requested-With": "rlhf-monitor"}
    return TestClient(app, base_url="http://127.0.0.1", headers=headers, raise_server_exceptions=False)


def test_an_annotator_s_token_speaks_for_its_holder_alone(engine: Engine, registry: CollectorRegistry) -> None:
    tokens = {"ada-token": "annotator", "ops-token": "operator"}
    app = create_app(ports_of(engine, Settings()), health=Health(["web"]), registry=registry, tokens=tokens)
    ada, ops = (
        TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {token}"}) for token in tokens
    )
    refused = post(ada, wire(label(1, annotator_id=None)), wire(label(2, annotator_id="bo")))
    assert (refused.status_code, [row["index"] for row in refused.json()["rows"]]) == (422, [1])
    assert "annotator_id: 'bo'; wanted 'annotator-" in refused.json()["rows"][0]["detail"]
    assert outcomes(post(ada, wire(label(1, annotator_id=None)))) == ["stored"]
    assert outcomes(post(ops, wire(label(2, annotator_id="bo")))) == ["stored"]
    [(own,), (other,)] = rows_of(engine, "select annotator_id from label order by label_id")
    assert own.startswith("annotator-")
    assert other == "bo"


def post(client: TestClient, *rows: bytes) -> Any:
    return client.post(PATH, content=b'{"labels": [' + b", ".join(rows) + b"]}")


def outcomes(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["outcome"] for row in answer.json()]


def told(client: TestClient, trace_id: str) -> list[tuple[str, float, bool]]:
    rows: list[dict[str, Any]] = client.get(PATH, params={"trace_id": trace_id}).json()
    return [(row["label"]["label_id"], row["label"]["value"], row["latest"]) for row in rows]


def rows_of(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.begin() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_a_batch_is_stored_once_however_often_it_is_sent(
    client: TestClient, engine: Engine, registry: CollectorRegistry
) -> None:
    batch = [wire(label(number, annotator_id="ada")) for number in (1, 2)] + [wire(label(3))]
    assert outcomes(post(client, *batch)) == ["stored", "corrected", "stored"]
    assert outcomes(post(client, *batch, batch[0])) == ["known"] * 4
    assert rows_of(engine, "select count(*) from label") == [(3,)]
    audit = rows_of(engine, "select actor, role, action, subject, detail from audit order by audit_id")
    assert audit == [
        ("local", "operator", "labels.post", "3 labels", {"stored": 2, "corrected": 1}),
        ("local", "operator", "labels.post", "4 labels", {"known": 4}),
    ]
    assert client.get("/api/v1/overview").json()["labels"] == 3
    known = {"outcome": "known", "source": "human"}
    assert registry.get_sample_value("monitor_received_labels_total", known) == 4


def test_one_wrong_label_keeps_its_batch_out_and_every_wrong_one_is_named(
    client: TestClient, engine: Engine, registry: CollectorRegistry
) -> None:
    good, high, odd = wire(label(1)), wire(label(2), value=2), wire(label(3), source="robot")
    refused = post(client, good, high, good, odd, b"7", b"{}", wire(label(4), trace_id="t\x00"))
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    problem = refused.json()
    assert problem["detail"].startswith("5 of 7 labels are wrong, and none was stored: mend or drop those that `rows`")
    assert [(row["index"], row["reason"]) for row in problem["rows"]] == [
        (1, "number_out_of_range"),
        (3, "unknown_word"),
        (4, "wrong_type"),
        (5, "missing_field"),
        (6, "nul_character"),
    ]
    assert problem["rows"][0]["detail"] == "value = 2: Expected `float` <= 1.0"
    assert problem["rows"][1]["detail"] == 'source = "robot": unknown; wanted human, ai, user'
    assert rows_of(engine, "select count(*) from label") == [(0,)]
    assert rows_of(engine, "select count(*) from audit") == [(0,)]
    invalid = {"outcome": "invalid", "source": "unknown"}
    assert registry.get_sample_value("monitor_received_labels_total", invalid) == 5
    assert outcomes(post(client, good, good)) == ["stored", "known"]


def test_a_trace_tells_all_that_was_said_of_it_and_marks_what_stands(client: TestClient, engine: Engine) -> None:
    days_later = (START + timedelta(days=3)).isoformat()
    first = wire(label(1, annotator_id="ada"))
    assert outcomes(post(client, first, wire(label(2, annotator_id="bo")))) == ["stored", "stored"]
    assert told(client, "t-0") == [("l-2", 1.0, True), ("l-1", 1.0, True)]
    late = wire(label(1, annotator_id="ada"), label_id="l-9", value=0, timestamp=days_later)
    assert outcomes(post(client, late)) == ["corrected"]
    assert told(client, "t-0") == [("l-9", 0.0, True), ("l-2", 1.0, True), ("l-1", 1.0, False)]
    moved = wire(label(2, annotator_id="bo"), trace_id="t-1", timestamp=days_later)
    assert outcomes(post(client, moved)) == ["corrected"]
    assert told(client, "t-0") == [("l-9", 0.0, True), ("l-2", 1.0, False), ("l-1", 1.0, False)]
    assert told(client, "t-1") == [("l-2", 1.0, True)]
    assert outcomes(post(client, first)) == ["known"]
    with engine.begin() as connection:
        connection.execute(text("update label set withdrawn_at = now() where label_id = 'l-9'"))
    assert told(client, "t-0") == [("l-9", 0.0, False), ("l-2", 1.0, False), ("l-1", 1.0, True)]
    assert told(client, "nobody knows it") == []
    assert len(client.get(PATH, params={"trace_id": "t-0", "limit": 2}).json()) == 2


def test_the_same_labels_sent_by_many_at_once_are_stored_once(client: TestClient, engine: Engine) -> None:
    rows = [wire(label(number % 50, value=number % 3 / 2)) for number in range(150)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda turn: post(client, *rows[turn * 7 :], *rows[: turn * 7]), range(8)))
    became = [outcome for answer in answers for outcome in outcomes(answer)]
    assert rows_of(engine, "select count(*) from label") == [(150,)]
    assert len(became) - became.count("known") == 150
    assert rows_of(engine, "select value from running_total where name = 'labels'") == [(150,)]


@pytest.mark.parametrize("name", names())
def test_hostile_names_are_kept_as_they_came(client: TestClient, name: str) -> None:
    sent = label(1, label_id=name, trace_id=name, annotator_id=name, criteria_version=name, dimensions={name: 1.0})
    assert outcomes(post(client, wire(sent))) == ["stored"]
    (row,) = client.get(PATH, params={"trace_id": name}).json()
    assert [row["label"][field] for field in ("label_id", "trace_id", "annotator_id", "criteria_version")] == [name] * 4
    assert row["label"]["dimensions"] == {name: 1.0}
    assert datetime.fromisoformat(row["label"]["timestamp"]) == sent.timestamp
