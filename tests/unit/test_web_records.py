"""Listings a page at a time, parameters that are none, and the routes of traces, baselines and the audit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from monitor.domain.episode import Compared, ShownAnswer
from monitor.domain.order import Actor, Role
from monitor.domain.stream import StreamKey
from monitor.notify.notice import ReceiverStatus
from monitor.runs.model import ModelRole, ModelState, RegisteredModel
from monitor.telemetry.health import Health
from monitor.web.app import create_app
from monitor.web.paging import MAX_CURSOR_CHARACTERS
from tests.labels import label
from tests.unit.in_memory_ports import InMemoryMonitor, a_job, stored_alarm, stream_status
from tests.unit.in_memory_records import NOON, SAID, trace_row

ADA = Actor("ada", Role.OPERATOR)
TOKENS = {"view-me": "viewer", "label-me": "annotator", "run-me": "operator"}
BY_ROLE = {role: {"Authorization": f"Bearer {token}"} for token, role in TOKENS.items()}


@pytest.fixture
def monitor() -> InMemoryMonitor:
    return InMemoryMonitor()


@pytest.fixture
def client(monitor: InMemoryMonitor) -> TestClient:
    """An operator's client."""
    app = create_app(monitor.ports(), health=Health(["postgres"]), registry=CollectorRegistry(), tokens=TOKENS)
    return TestClient(app, headers=BY_ROLE["operator"], raise_server_exceptions=False)


def pages(client: TestClient, path: str) -> Iterator[list[Any]]:
    """Yield a listing's pages, by its own links."""
    url = client.base_url.join(path)
    while True:
        answer = client.get(url)
        assert answer.status_code == 200, answer.text
        yield answer.json()
        if "next" not in answer.links:
            return
        url = url.join(answer.links["next"]["url"])


def test_a_listing_is_read_to_its_end_by_its_links_and_keeps_its_filter(
    client: TestClient, monitor: InMemoryMonitor
) -> None:
    monitor.stored = {number: stored_alarm(number) for number in range(1, 8)}
    monitor.stored[4] = stored_alarm(4, state=monitor.stored[4].state.ACKNOWLEDGED)
    found = [[row["alarm_id"] for row in page] for page in pages(client, "/api/v1/alarms?state=open&limit=2")]
    assert found == [[7, 6], [5, 3], [2, 1]]


def test_rows_that_come_meanwhile_are_not_given_twice_nor_hide_others(
    client: TestClient, monitor: InMemoryMonitor
) -> None:
    monitor.kept = {number: a_job(number) for number in range(1, 6)}
    reading = pages(client, "/api/v1/jobs?limit=2")
    first = next(reading)
    monitor.kept[6] = a_job(6)
    rest = [row["job"]["job_id"] for page in reading for row in page]
    assert [row["job"]["job_id"] for row in first] + rest == [5, 4, 3, 2, 1]


def test_streams_come_a_page_at_a_time_by_name(client: TestClient, monitor: InMemoryMonitor) -> None:
    keys = [StreamKey("refusal", cohort, "chat-2", "1") for cohort in ("c", "*", "a", "b")]
    monitor.statuses = [stream_status(key=key) for key in keys]
    found = [[row["key"]["cohort"] for row in page] for page in pages(client, "/api/v1/streams?limit=3")]
    assert found == [["*", "a", "b"], ["c"]]


def test_models_are_found_by_role_and_state_and_come_a_page_at_a_time(
    client: TestClient, monitor: InMemoryMonitor
) -> None:
    first = RegisteredModel("v-0", "ab" * 32, NOON, None, None)
    monitor.registered = [replace(first, version=f"v-{number}") for number in range(5)]
    monitor.registered[1] = replace(monitor.registered[1], state=ModelState.CHAMPION, promoted_by="ada")
    monitor.registered[2] = replace(monitor.registered[2], role=ModelRole.POLICY)

    def found(query: str) -> list[list[str]]:
        return [[row["version"] for row in page] for page in pages(client, f"/api/v1/models?limit=2&{query}")]

    assert found("") == [["v-4", "v-3"], ["v-2", "v-1"], ["v-0"]]
    assert found("role=reward&state=candidate") == [["v-4", "v-3"], ["v-0"]]
    assert found("state=champion&state=previous") == [["v-1"]]
    refused = client.get("/api/v1/models?kind=reward").json()["detail"]
    assert refused.endswith("there are cursor, limit, role, state")


def test_baselines_are_found_by_what_their_laws_are_of(client: TestClient, monitor: InMemoryMonitor) -> None:
    for _ in range(3):
        client.post("/api/v1/baselines", json={"last": 400})
    monitor.stored_records.followed = {
        1: (("refusal", "chat-1", "billing"),),
        2: (("refusal", "chat-2", "coding"), ("reward", "chat-2", "billing")),
        3: (("refusal", "chat-2", "billing"),),
    }

    def found(query: str) -> list[list[int]]:
        return [[row["baseline_id"] for row in page] for page in pages(client, f"/api/v1/baselines?limit=1&{query}")]

    assert found("") == [[3], [2], [1]]
    assert found("cohort=billing&signal=refusal") == [[3], [1]]
    assert found("policy_model=chat-2") == [[3], [2]]
    assert found("signal=reward&cohort=coding") == [[]]


def test_answers_and_receivers_are_listings_like_the_others(client: TestClient, monitor: InMemoryMonitor) -> None:
    monitor.stored = {1: stored_alarm(1), 2: stored_alarm(2)}
    shown = [ShownAnswer(f"t-{number}", 1.0, None, None, None, cut=False) for number in range(3)]
    monitor.compared = dict.fromkeys((1, 2), tuple(Compared(one, 0.5, ()) for one in shown))
    monitor.receivers = [ReceiverStatus(name, "slack", "alert", 0, 0.0, None, None) for name in ("b", "c", "a")]
    answers = pages(client, "/api/v1/alarms/1/answers?limit=2")
    assert [[row["example"]["trace_id"] for row in page] for page in answers] == [["t-0", "t-1"], ["t-2"]]
    link = client.get("/api/v1/alarms/1/answers?limit=2").links["next"]["url"]
    others = client.get(f"/api/v1/alarms/2/answers{link}")
    assert (others.status_code, "none of this listing's" in others.json()["detail"]) == (422, True)
    receivers = pages(client, "/api/v1/notifications?limit=2")
    assert [[row["receiver"] for row in page] for page in receivers] == [["b", "c"], ["a"]]
    for path in ("/api/v1/alarms/1/answers", "/api/v1/notifications", "/api/v1/models", "/api/v1/baselines"):
        refused = client.get(path, params={"cursor": "a" * (MAX_CURSOR_CHARACTERS + 1)})
        assert refused.status_code == 422
        assert f"at most {MAX_CURSOR_CHARACTERS} characters" in refused.json()["detail"]
        assert len(refused.text) < 500


def test_what_the_settings_order_keeps_its_order_over_pages(client: TestClient) -> None:
    whole = client.get("/api/v1/signals").json()
    assert len(whole) > 5
    assert [row for page in pages(client, "/api/v1/signals?limit=4") for row in page] == whole


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "!!!", "bm90IGpzb24", "WyIvYXBpL3YxL2pvYnMiLDFd", "WyIvYXBpL3YxL2FsYXJtcyIsIngiXQ"],
    ids=["empty", "too short", "no base64", "no JSON", "another listing's", "another key's"],
)
def test_a_cursor_of_another_kind_is_refused(client: TestClient, cursor: str) -> None:
    refused = client.get("/api/v1/alarms", params={"cursor": cursor})
    assert refused.status_code == 422
    assert "cursor" in refused.json()["detail"]


def test_a_parameter_that_is_none_is_refused_with_those_there_are_everywhere(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    asked = 0
    for path, methods in paths.items():
        if not path.startswith("/api/v1/"):
            continue
        for method in methods:
            named = dict.fromkeys(re.findall(r"{(\w+)}", path), 1)
            where = path.format(**(named | {"letter": "traces:0:1"}))
            refused = client.request(method, where, params={"stat": "open"}, json=None if method == "get" else {})
            assert (refused.status_code, where) == (422, where)
            assert "query.stat: no such parameter" in refused.json()["detail"]
            asked += 1
    assert asked > 40
    said = client.get("/api/v1/alarms?stat=open").json()["detail"]
    assert said.endswith("did you mean 'state'? there are cursor, limit, state")


def test_who_is_not_known_is_told_so_before_any_parameter(monitor: InMemoryMonitor, client: TestClient) -> None:
    assert client.get("/api/v1/alarms?stat=open", headers={"Authorization": "Bearer guess"}).status_code == 401


def test_traces_are_found_by_what_is_known_of_them_and_no_text_is_shown(
    client: TestClient, monitor: InMemoryMonitor
) -> None:
    late = NOON + timedelta(hours=3)
    monitor.stored_records.rows = [
        trace_row("t-1"),
        trace_row("t-2", cohort="coding"),
        trace_row("t-3", policy_model="chat-1"),
        trace_row("t-4", timestamp=late),
    ]

    def found(**params: str) -> list[str]:
        return [row["trace_id"] for row in client.get("/api/v1/traces", params=params).json()]

    assert found() == ["t-4", "t-3", "t-2", "t-1"]
    assert found(cohort="coding") == ["t-2"]
    assert found(policy_model="chat-1") == ["t-3"]
    assert found(trace_id="t-1") == ["t-1"]
    assert found(since="2026-11-21T13:00:00Z") == ["t-4"]
    assert found(until="2026-11-21T14:00:00+01:00", cohort="billing") == ["t-3", "t-1"]
    assert client.get("/api/v1/traces", params={"since": "2026-11-21T13:00:00"}).status_code == 422
    assert "order" not in client.get("/api/v1/traces").text
    assert [len(page) for page in pages(client, "/api/v1/traces?limit=3")] == [3, 1]


@pytest.mark.parametrize(
    ("role", "plain", "text"), [("viewer", 200, 403), ("annotator", 403, 403), ("operator", 200, 200)]
)
def test_a_text_is_read_by_operators_alone_and_each_reading_is_kept(
    client: TestClient, monitor: InMemoryMonitor, role: str, plain: int, text: int
) -> None:
    monitor.stored_records.rows = [trace_row("run/7\n ü\n")]
    path, headers = "/api/v1/traces/run%2F7%0A%20%C3%BC%0A", BY_ROLE[role]
    known, read = client.get(path, headers=headers), client.get(f"{path}?text=true", headers=headers)
    assert (known.status_code, read.status_code) == (plain, text)
    kept = monitor.stored_records.audited
    assert [(row.action, row.subject) for row in kept] == [("trace.read", "trace run/7\n ü\n")] * (text == 200)
    if text == 200:
        assert known.json()["text"] is None
        assert read.json()["text"]["messages"] == [{"role": "user", "content": SAID.messages[0].content}]
    assert client.get("/api/v1/traces/other", headers=BY_ROLE["viewer"]).status_code == 404


def test_a_baseline_is_looked_at_before_it_is_frozen_and_by_operators_alone(
    client: TestClient, monitor: InMemoryMonitor
) -> None:
    window = {"last": 400}
    for path in ("/api/v1/baselines", "/api/v1/baselines/preview"):
        assert client.post(path, json=window, headers=BY_ROLE["viewer"]).status_code == 403
    seen = client.post("/api/v1/baselines/preview", json=window).json()
    assert (seen["first_trace"], seen["stop_trace"], seen["instead_of"]) == (600, 1000, None)
    assert monitor.stored_records.frozen == []
    made = client.post("/api/v1/baselines", json=window | {"note": "after the release"})
    assert (made.status_code, made.json()["note"], made.json()["traces"]) == (201, "after the release", 400)
    stale = client.post("/api/v1/baselines", json={"first": 0, "stop": 300, "instead_of": 9})
    assert stale.status_code == 409
    assert client.post("/api/v1/baselines", json={"first": 0, "stop": 300, "instead_of": 1}).status_code == 201
    rows = client.get("/api/v1/baselines", headers=BY_ROLE["viewer"]).json()
    assert [(row["baseline_id"], row["active"]) for row in rows] == [(2, True), (1, False)]
    assert client.get("/api/v1/baselines/1").json()["baseline"]["traces"] == 400
    assert client.get("/api/v1/baselines/7").status_code == 404


@pytest.mark.parametrize(
    ("window", "status"),
    [
        ({}, 422),
        ({"last": 0}, 422),
        ({"last": 5, "first": 1}, 422),
        ({"first": 5, "stop": 5}, 422),
        ({"last": 5, "x": 1}, 422),
        ({"last": 1001}, 409),
        ({"first": 999, "stop": 1001}, 409),
    ],
)
def test_a_window_that_does_not_fit_is_refused(client: TestClient, window: dict[str, int], status: int) -> None:
    assert client.post("/api/v1/baselines/preview", json=window).status_code == status


def test_the_audit_is_for_operators_and_is_searched_by_who_did_what(
    client: TestClient, monitor: InMemoryMonitor
) -> None:
    records = monitor.stored_records
    records.note(ADA, "alarm.acknowledge", "alarm 7")
    records.note(replace(ADA, name="bob"), "alarm.snooze", "alarm 8")
    records.note(ADA, "alarms", "no alarm")

    def found(**params: str) -> list[int]:
        return [row["audit_id"] for row in client.get("/api/v1/audit", params=params).json()]

    assert found() == [3, 2, 1]
    assert found(action="alarm") == [2, 1]
    assert found(actor="ada", action="alarm.acknowledge") == [1]
    assert found(subject="alarm 8") == [2]
    assert [len(page) for page in pages(client, "/api/v1/audit?limit=2")] == [2, 1]
    for role in ("viewer", "annotator"):
        assert client.get("/api/v1/audit", headers=BY_ROLE[role]).status_code == 403


def test_labels_of_a_trace_are_paged_with_the_newest_first(client: TestClient, monitor: InMemoryMonitor) -> None:
    monitor.labels.said = [label(number) for number in range(5)]
    found = [
        [row["label"]["label_id"] for row in page] for page in pages(client, "/api/v1/labels?trace_id=t-0&limit=2")
    ]
    assert found == [["l-4", "l-3"], ["l-2", "l-1"], ["l-0"]]


def test_who_is_told_of_incidents_is_shown_to_viewers_with_what_waits(
    client: TestClient, monitor: InMemoryMonitor
) -> None:
    failing = ReceiverStatus("oncall", "slack", "alert", 1, 950.0, None, "HTTP 503")
    monitor.receivers = [failing]
    (row,) = client.get("/api/v1/notifications", headers=BY_ROLE["viewer"]).json()
    assert (row["receiver"], row["waiting"], row["waiting_seconds"], row["error"]) == ("oncall", 1, 950.0, "HTTP 503")
    assert client.get("/api/v1/notifications", headers=BY_ROLE["annotator"]).status_code == 403


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/jobs", "GET, POST"),
        ("/api/v1/baselines/preview", "POST"),
        ("/api/v1/alarms/1/acknowledge", "POST"),
        ("/api/v1/jobs/1/approve", "POST"),
    ],
)
def test_a_method_that_a_path_has_not_is_refused_with_those_it_has(client: TestClient, path: str, allowed: str) -> None:
    refused = client.delete(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/api/v1/jobs/1/promote", "/api/v1/alarms/1/approve", "/api/v1/job"])
def test_an_order_that_nothing_has_is_not_found(client: TestClient, monitor: InMemoryMonitor, path: str) -> None:
    monitor.kept = {1: a_job()}
    assert client.post(path, json={}).status_code == 404


def test_a_number_is_no_time_and_every_change_describes_its_key(client: TestClient) -> None:
    assert client.get("/api/v1/moved?day=0").status_code == 422
    assert client.get("/api/v1/audit?since=1700000000").status_code == 422
    described = client.get("/api/openapi.json").json()["paths"]
    changes = [told["post"] for path, told in described.items() if "post" in told and path.startswith("/api/v1/")]
    assert len(changes) > 10
    for change in changes:
        assert {"400", "401", "403", "411", "413", "422", "429", "500", "503"} <= change["responses"].keys()
        assert "Idempotency-Key" in [parameter["name"] for parameter in change["parameters"]]
