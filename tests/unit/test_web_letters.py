"""Dead letters through the API: newest first, a page at a time, and never what their records held."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from monitor.app.letters import KEPT_SECONDS
from monitor.ingest.letter import LetterFilter
from monitor.telemetry.health import Health
from tests.unit.in_memory_letters import LetterTopic, a_letter
from tests.unit.in_memory_ports import InMemoryMonitor
from tests.unit.test_web import client_of

LETTERS = "/api/v1/dead-letters"


def client(topic: LetterTopic, tokens: dict[str, str] | None = None) -> TestClient:
    return client_of(InMemoryMonitor(letters=topic.port()), Health(["web"]), tokens or {}, "127.0.0.1:8080")


@pytest.fixture
def topic() -> LetterTopic:
    rows = [a_letter(number, reason="not_utf8" if number % 2 else "not_json") for number in range(5)]
    return LetterTopic([*rows, a_letter(0, place=a_letter(9).place, source=a_letter(3).source)])


def test_letters_come_newest_first_a_page_at_a_time_without_what_their_records_held(topic: LetterTopic) -> None:
    asking = client(topic)
    first = asking.get(LETTERS, params={"limit": 4})
    assert [row["letter"] for row in first.json()] == ["dead:0:4", "dead:0:3", "dead:0:2", "dead:0:1"]
    assert "what a user said" not in first.text
    rest = asking.get(f"{LETTERS}{first.links['next']['url']}").json()
    assert [row["letter"] for row in rest] == ["dead:0:9", "dead:0:0"]
    assert (rest[0]["source"], rest[0]["bytes"], rest[0]["written_at"]) == ("traces:0:3", 16, "2026-11-21T12:00:00Z")


def test_letters_are_filtered_by_reason_topic_and_time(topic: LetterTopic) -> None:
    asking = client(topic)

    def found(**wanted: str) -> list[str]:
        return [row["letter"] for row in asking.get(LETTERS, params=wanted).json()]

    assert found(reason="not_utf8") == ["dead:0:3", "dead:0:1"]
    assert found(topic="other") == []
    assert found(since="2026-11-21T12:02:00Z", until="2026-11-21T12:04:00Z") == ["dead:0:3", "dead:0:2"]
    assert asking.get(LETTERS, params={"raeson": "not_utf8"}).status_code == 422


def test_only_operators_see_letters(topic: LetterTopic) -> None:
    asking = client(topic, {"view-me": "viewer", "operate-me": "operator"})
    bearers = [{"Authorization": f"Bearer {token}"} for token in ("view-me", "operate-me")]
    assert [asking.get(LETTERS, headers=bearer).status_code for bearer in bearers] == [403, 200]


def test_the_topic_is_read_at_most_once_in_ten_seconds_and_its_bytes_are_let_go(topic: LetterTopic) -> None:
    now = [0.0]
    port = topic.port(now)
    for _ in range(3):
        assert len(port.letters(LetterFilter())) == 6
    assert topic.reads == 1
    assert all(letter.value == b"" for letter, _ in port._known)
    now[0] = KEPT_SECONDS
    topic.kept.append(a_letter(10))
    assert len(port.letters(LetterFilter())) == 7
