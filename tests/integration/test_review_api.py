"""An annotator's token sees its queue, and not one byte of what must not sway a verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from monitor.app.ports import ports_of
from monitor.domain.label import PREFERENCE
from monitor.domain.review import Reason, Selection
from monitor.settings.load import load_settings
from monitor.telemetry.health import Health
from monitor.telemetry.metrics import Metrics
from monitor.web.app import create_app
from tests.integration.reviewing import POLICY, rows_of, store_items

pytestmark = pytest.mark.postgres
TOKENS = {"label-me": "annotator", "label-too": "annotator", "view-me": "viewer", "run-me": "operator"}
TOLD = (b"hidden", b"t-0", b"t-1", b"trace", b"gold", b"disagree", b"floor", b"probab", b"reward", b"score", b"policy")


@pytest.fixture
def client(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("MONITOR_POSTGRES__URL", "postgresql://unused")
    return client_of(engine)


def client_of(engine: Engine) -> TestClient:
    registry = CollectorRegistry()
    Metrics(registry)
    app = create_app(ports_of(engine, load_settings()), health=Health(["web"]), registry=registry, tokens=TOKENS)
    return TestClient(app, base_url="http://monitor.example.org")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.usefixtures("one_day")
def test_an_annotator_works_through_the_queue_and_is_told_nothing_else(engine: Engine, client: TestClient) -> None:
    disputed = Selection(PREFERENCE, 0.5, 0.1, selected=True, reason=Reason.DISAGREEMENT, wanted=2)
    store_items(engine, range(4), replace(disputed, wanted=2))
    said = []
    hand = client.get("/api/v1/review/next?limit=3", headers=bearer("label-me"))
    said.append(hand.content)
    items = hand.json()["items"]
    assert [sorted(item) for item in items] == [["answers", "criteria_version", "item_id", "kind", "messages"]] * 3
    assert hand.json()["criteria"]["version"] == "1"
    assert min(item["item_id"] for item in items) > 1000  # not its place in the queue
    for item, deed in zip(items, ("label", "skip", "flag"), strict=True):
        body = {"item_id": item["item_id"], "answer": deed, "value": 0.5, "seconds": 2, "note": "", "dimensions": {}}
        reply = client.post("/api/v1/review/answers", json=body, headers=bearer("label-me"))
        said.append(reply.content)
        assert reply.status_code == 200
    assert reply.json()["progress"] == {"answered_today": 3, "open": 3, "budget": 500}
    back = client.post("/api/v1/review/undo", json={}, headers=bearer("label-me"))
    said.append(back.content)
    assert back.json()["item"] == items[2]
    said.append(client.get("/api/v1/whoami", headers=bearer("label-me")).content)
    refused = client.post("/api/v1/review/answers", json=body | {"item_id": 99}, headers=bearer("label-me"))
    said.append(refused.content)
    assert refused.status_code == 404
    everything = b"".join(said).replace(POLICY.encode(), b"").lower()
    assert [word for word in TOLD if word in everything] == []


def test_both_answers_stand_first_for_some_annotators(engine: Engine, client: TestClient) -> None:
    store_items(engine, range(16), Selection(PREFERENCE, 0.5, 0.1, selected=True, wanted=2))
    hands = [
        [item["answers"] for item in client.get("/api/v1/review/next?limit=16", headers=bearer(token)).json()["items"]]
        for token in ("label-me", "label-too")
    ]
    assert hands[0] != hands[1]
    assert [sorted(answers) for answers in hands[0]] == [sorted(answers) for answers in hands[1]]


def test_a_viewer_may_not_look_into_the_queue_and_an_operator_may_answer(engine: Engine, client: TestClient) -> None:
    store_items(engine, [0])
    assert client.get("/api/v1/review/next", headers=bearer("view-me")).status_code == 403
    assert len(client.get("/api/v1/review/next", headers=bearer("run-me")).json()["items"]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"item_id": 0},
        {"value": 1.5},
        {"value": "nan"},
        {"answer": "maybe"},
        {"note": "x" * 501},
        {"dimensions": {"style": 2}},
        {"dimensions": {"a\x00": 1}},
        {"annotator": "eve"},
    ],
    ids=lambda wrong: ascii(wrong)[:30],
)
def test_what_is_no_answer_is_refused(client: TestClient, wrong: dict[str, object]) -> None:
    body = {"item_id": 1, "answer": "label", "value": 1} | wrong
    assert client.post("/api/v1/review/answers", json=body, headers=bearer("label-me")).status_code == 422


def test_what_an_annotator_writes_is_kept_whatever_is_in_it(engine: Engine, client: TestClient) -> None:
    store_items(engine, [0])
    (item,) = client.get("/api/v1/review/next", headers=bearer("label-me")).json()["items"]
    body = b'{"item_id": %d, "answer": "flag", "note": "a\\u0000b\\u202e<script>"}' % item["item_id"]
    headers = bearer("label-me") | {"Content-Type": "application/json"}
    assert client.post("/api/v1/review/answers", content=body, headers=headers).status_code == 200
    assert rows_of(engine, "review_verdict", "answer", "note") == [("flag", "ab\u202e<script>")]


def redact(note: str) -> str:
    """Stand for a function that an operator names: it breaks on what it does not know."""
    if "broken" in note:
        raise ValueError(note)
    return note.replace("Ada", "[name]")


def test_notes_of_annotators_are_redacted_before_they_are_stored_by_page_and_import(
    engine: Engine, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITOR_INGEST__REDACTION__PATTERNS", '["email"]')
    monkeypatch.setenv("MONITOR_INGEST__REDACTION__FUNCTION", f"{__name__}:redact")
    client, note = client_of(engine), "Ada wrote to ada@example.org\x00"
    store_items(engine, range(4))
    body = {"item_id": 0, "answer": "label", "value": 1, "note": note}
    hand = client.get("/api/v1/review/next", headers=bearer("label-me")).json()["items"]
    for item in hand[:2]:
        sent = body | {"item_id": item["item_id"], "note": note if item is hand[0] else ""}
        assert client.post("/api/v1/review/answers", json=sent, headers=bearer("label-me")).status_code == 200
    broken = body | {"item_id": hand[2]["item_id"], "note": "broken by ada@example.org"}
    refused = client.post("/api/v1/review/answers", json=broken, headers=bearer("label-me"))
    assert (refused.status_code, "answer without one" in refused.json()["detail"]) == (422, True)
    assert "example.org" not in refused.text

    items = client.get("/api/v1/review/items", headers=bearer("run-me")).json()[:2]
    given = {"annotator": "bo", "answer": "label", "value": 1.0}
    notes = (note, "broken by ada@example.org")
    answers = [given | {"token": item["token"], "note": said} for item, said in zip(items, notes, strict=True)]
    told = client.post("/api/v1/review/import", json={"answers": answers}, headers=bearer("run-me")).json()
    assert (told["outcomes"]["new"], told["outcomes"]["refused"]) == (1, 1)
    assert "example.org" not in str(told["refusals"])
    stored = rows_of(engine, "review_verdict", "annotator_id", "note")
    assert sorted(said for _, said in stored) == ["", *["[name] wrote to [email]"] * 2]
