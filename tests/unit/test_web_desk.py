"""What the commands of operators ask the API for: the queue's files, the sets of pairs, asking again."""

from __future__ import annotations

import json
from base64 import b64decode

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from monitor.telemetry.health import Health
from monitor.web.app import create_app
from tests.unit.in_memory_desk import a_set, an_item
from tests.unit.in_memory_letters import a_letter
from tests.unit.in_memory_ports import InMemoryMonitor

TOKENS = {"view-me": "viewer", "label-me": "annotator", "run-me": "operator"}
BY_ROLE = {role: {"Authorization": f"Bearer {token}"} for token, role in TOKENS.items()}
JSON = {"Content-Type": "application/json"}
ANSWER = {"token": "1-seal", "annotator": "ada", "answer": "label", "value": 1.0, "place": "line 1"}


@pytest.fixture
def monitor() -> InMemoryMonitor:
    monitor = InMemoryMonitor()
    monitor.desk.items = [an_item(number) for number in range(3)]
    monitor.desk.kept_sets = [a_set(number) for number in range(3)]
    monitor.desk.askable = frozenset({7})
    monitor.desk.dead = [a_letter(1), a_letter(2, reason="not_utf8")]
    return monitor


@pytest.fixture
def client(monitor: InMemoryMonitor) -> TestClient:
    app = create_app(monitor.ports(), health=Health([]), registry=CollectorRegistry(), tokens=TOKENS)
    return TestClient(app, headers=BY_ROLE["operator"], raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("sent", "allowed"),
    [
        (("GET", "/review/status", None), {"viewer", "operator"}),
        (("GET", "/review/items", None), {"operator"}),
        (("POST", "/review/import", {"answers": [ANSWER]}), {"operator"}),
        (("POST", "/review/gold", {"trace_id": "t-1", "value": 1}), {"operator"}),
        (("GET", "/review/criteria", None), {"viewer", "operator"}),
        (("POST", "/review/criteria/activate", {"version": "1"}), {"operator"}),
        (("GET", "/preferences", None), {"viewer", "operator"}),
        (("GET", "/preferences/content", None), {"operator"}),
        (("POST", "/alarms/7/reask", None), {"operator"}),
        (("GET", "/dead-letters/dead:0:1", None), {"operator"}),
        (("POST", "/dead-letters/replay", {"letters": ["dead:0:1"]}), {"operator"}),
    ],
    ids=lambda given: given[1] if isinstance(given, tuple) else "",
)
def test_texts_and_changes_are_for_operators_alone(
    client: TestClient, monitor: InMemoryMonitor, sent: tuple[str, str, object], allowed: set[str]
) -> None:
    method, path, body = sent
    for role, headers in BY_ROLE.items():
        before = len(monitor.desk.done)
        answer = client.request(method, f"/api/v1{path}", json=body, headers=headers)
        assert (role, answer.status_code) == (role, 200 if role in allowed else 403), answer.text
        assert len(monitor.desk.done) == before or role == "operator"


def test_items_and_sets_come_a_page_at_a_time(client: TestClient) -> None:
    for path, name in (("/api/v1/review/items", "token"), ("/api/v1/preferences", "card")):
        first = client.get(f"{path}?limit=2")
        rest = client.get(client.base_url.join(path).join(first.links["next"]["url"]))
        rows = [str(row[name]) for row in (*first.json(), *rest.json())]
        assert (len(first.json()), len(set(rows))) == (2, 3)
        assert client.get(f"{path}?page=2").status_code == 422


def test_answers_that_come_back_are_taken_once_and_each_refusal_is_told(client: TestClient) -> None:
    strange = ANSWER | {"token": "9-forged", "place": "line 2"}
    told = [client.post("/api/v1/review/import", json={"answers": [ANSWER, strange]}).json() for _ in range(2)]
    assert [one["outcomes"] for one in told] == [
        {"new": 1, "known": 0, "refused": 1},
        {"new": 0, "known": 1, "refused": 1},
    ]
    assert told[0]["refusals"] == ["line 2: no such item"]
    assert [row["token"] for row in client.get("/api/v1/review/items").json()] == ["0-seal", "2-seal"]
    assert len(client.get("/api/v1/review/items?all=true").json()) == 3
    assert client.post("/api/v1/review/import", json={"answers": []}).status_code == 422


def test_criteria_are_kept_in_versions_of_which_one_is_put_in_force(client: TestClient) -> None:
    new = {"version": "2 ü", "text": "Which is more helpful?"}
    assert client.post("/api/v1/review/criteria", json=new, headers=BY_ROLE["annotator"]).status_code == 403
    longest = {"version": "long", "text": "\U0001f600" * 20_000}
    assert client.post("/api/v1/review/criteria", content=json.dumps(longest), headers=JSON).status_code == 201
    added = [client.post("/api/v1/review/criteria", json=new).status_code for _ in range(2)]
    assert added == [201, 409]
    assert client.post("/api/v1/review/criteria/activate", json={"version": "2 ü"}).json() == {"version": "2 ü"}
    told = client.get("/api/v1/review/criteria").json()
    assert [(one["version"], one["in_force"]) for one in told] == [("1", False), ("long", False), ("2 ü", True)]
    assert client.post("/api/v1/review/criteria/activate", json={"version": "3"}).status_code == 404
    for wrong in ({"text": ""}, {"version": " "}, {"version": "x" * 101}, {"text": "a\0"}, {"text": "x" * 20_001}):
        assert client.post("/api/v1/review/criteria", json=new | wrong).status_code == 422


def test_a_known_verdict_makes_a_trace_gold(client: TestClient) -> None:
    assert client.post("/api/v1/review/gold", json={"trace_id": "t-1", "value": 1}).json() == {"item_id": 7}
    assert client.post("/api/v1/review/gold", json={"trace_id": "x", "value": 1}).status_code == 404
    for wrong in ({"value": 2}, {"kind": "No Kind"}, {"trace_id": ""}):
        assert client.post("/api/v1/review/gold", json={"trace_id": "t-1", "value": 1} | wrong).status_code == 422


def test_a_set_is_found_by_how_its_hash_begins_and_an_alarm_that_nobody_can_ask_is_refused(client: TestClient) -> None:
    sha256 = a_set(1).card.sha256
    assert client.get(f"/api/v1/preferences/{sha256[:9]}").json()["jobs"] == [1]
    content = client.get(f"/api/v1/preferences/content?sha256={sha256[:9]}").json()
    assert (content["sha256"], content["lines"]) == (sha256, '{"preference_id": "p-1"}\n')
    assert client.get("/api/v1/preferences/none").status_code == 422
    assert client.get("/api/v1/preferences/ffffffff").status_code == 404
    assert client.post("/api/v1/alarms/8/reask").status_code == 409
    assert client.post("/api/v1/alarms/7/reask").json() == {"alarm_id": 7, "max_prompts": 200}


def test_a_letter_is_shown_whole_and_a_replay_is_asked_for_before_it_is_made(
    client: TestClient, monitor: InMemoryMonitor
) -> None:
    told = client.get("/api/v1/dead-letters/dead:0:1").json()
    assert (b64decode(told["value_base64"]), told["row"]["first"]) == (b"what a user said", "traces:0:1")
    assert client.get("/api/v1/dead-letters/dead:0:9").status_code == 404
    assert client.get("/api/v1/dead-letters/none:x:1").status_code == 422
    order = {"reason": "not_utf8", "dry_run": True}
    tried = client.post("/api/v1/dead-letters/replay", json=order).json()
    assert tried == {"records": {"traces": 1}, "held": {}, "written": 0}
    assert "dead_letters.replay" not in {what for _, what in monitor.desk.done}
    made = client.post("/api/v1/dead-letters/replay", json=order | {"dry_run": False}).json()
    assert made["written"] == 1
    assert client.post("/api/v1/dead-letters/replay", json={"letters": ["x"]}).status_code == 422
    assert client.post("/api/v1/dead-letters/replay", json={"limit": 10_001}).status_code == 422
