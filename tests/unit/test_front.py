"""The API behind the console's first page."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from monitor.domain.alarm import AlarmState, Severity
from monitor.domain.stream import StreamKey
from monitor.telemetry.health import Health
from monitor.web.app import create_app
from tests.unit.in_memory_ports import NOW, InMemoryMonitor, stored_alarm, stream_status

HEATMAP = "/api/v1/overview/heatmap"


@pytest.fixture
def monitor() -> InMemoryMonitor:
    return InMemoryMonitor()


@pytest.fixture
def local(monitor: InMemoryMonitor) -> TestClient:
    app = create_app(monitor.ports(), health=Health([]), registry=CollectorRegistry(), tokens={})
    return TestClient(app, base_url="http://127.0.0.1:8080", raise_server_exceptions=False)


def test_a_cell_leaves_out_what_is_usual(local: TestClient, monitor: InMemoryMonitor) -> None:
    monitor.statuses = [stream_status(is_steady=False, mean=0.0345678)]
    told = local.get(HEATMAP).json()
    (row,) = told["rows"]
    assert row["cells"] == [
        {
            "signal": "refusal",
            "policy_model": "chat-2",
            "scorer_version": "1",
            "evidence": 0.31,
            "effect": 0.004568,
            "direction": "up",
            "observations": 1200,
            "mean": 0.03457,
            "baseline_mean": 0.03,
            "is_steady": False,
        }
    ]
    assert (told["pages"], told["found"], told["cohorts"], told["states"]) == (1, 1, 0, {"unsteady": 1})


def test_a_view_is_asked_for_in_the_query(local: TestClient, monitor: InMemoryMonitor) -> None:
    keys = [StreamKey(signal, cohort, "m", "1") for signal in ("refusal", "error") for cohort in ("a", "b", "c")]
    monitor.statuses = [stream_status(key=key) for key in keys]
    monitor.stored = {1: stored_alarm(1, stream=keys[1])}

    def asked(query: str) -> list[tuple[str, int]]:
        return [(row["cohort"], len(row["cells"])) for row in local.get(f"{HEATMAP}?{query}").json()["rows"]]

    assert asked("") == [("b", 2), ("a", 2), ("c", 2)]
    assert asked("signal=error&signal=unheard") == [("a", 1), ("b", 1), ("c", 1)]
    assert asked("state=open") == [("b", 2)]
    assert asked("cohort=C") == [("c", 2)]
    assert asked("page=2&size=2") == [("c", 2)]
    assert asked("model=other") == []


@pytest.mark.parametrize("query", ["page=0", "size=1000", "state=loud", "cohort=" + "x" * 700, "cohrt=a"])
def test_a_view_that_cannot_be_is_refused(local: TestClient, query: str) -> None:
    assert local.get(f"{HEATMAP}?{query}").status_code == 422


def test_incidents_come_by_urgency_and_the_earliest_of_each_first(local: TestClient, monitor: InMemoryMonitor) -> None:
    monitor.stored = {
        1: stored_alarm(1, incident_id=1, severity=Severity.WARNING),
        2: stored_alarm(2, incident_id=2, state=AlarmState.ACKNOWLEDGED),
        3: stored_alarm(3, incident_id=3),
        4: stored_alarm(4, incident_id=4),
        5: replace(stored_alarm(5, incident_id=5, state=AlarmState.RECOVERED), recovered_at=NOW),
    }
    told = local.get("/api/v1/overview/incidents").json()
    assert [card["incident_id"] for card in told["cards"]] == [3, 4, 1, 2]
    assert told["totals"] == {"alert": 2, "warning": 1, "acknowledged": 1}
    told = local.get("/api/v1/overview/incidents?ended=true&limit=1").json()
    assert [card["incident_id"] for card in told["cards"]] == [3, 1, 2, 5]
    assert told["totals"]["alert"] == 2


def test_a_finding_is_told_once_by_the_roll_up_and_warnings_stand_under_alerts(
    local: TestClient, monitor: InMemoryMonitor
) -> None:
    error = StreamKey("error", "*", "chat-2", "1")
    monitor.stored = {
        1: stored_alarm(1, stream=error, place=2700, severity=Severity.WARNING),
        2: stored_alarm(2, cohort="a", place=2800),
        3: stored_alarm(3, place=2810),
        4: stored_alarm(4, cohort="b", place=2820),
    }
    (card,) = local.get("/api/v1/overview/incidents").json()["cards"]
    told = [(found["alarm_id"], found["stream"]["signal"], found["others"]) for found in card["findings"]]
    assert told == [(3, "response_length", 2), (1, "error", 0)]
    assert (card["alarms"], card["more_findings"], card["urgency"]) == (4, 0, "alert")


def test_an_incident_with_very_many_findings_tells_the_first(local: TestClient, monitor: InMemoryMonitor) -> None:
    keys = [StreamKey(f"signal-{number}", "*", "m", "1") for number in range(12)]
    monitor.stored = {number: stored_alarm(number, stream=key) for number, key in enumerate(keys, start=1)}
    (card,) = local.get("/api/v1/overview/incidents").json()["cards"]
    assert (len(card["findings"]), card["more_findings"]) == (8, 4)
