"""The HTTP API through its front door."""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from monitor import __version__
from monitor.domain.alarm import AlarmState, Direction
from monitor.domain.anchor import AnchorStatus
from monitor.domain.job import TRANSITIONS, JobState
from monitor.domain.order import ORDERS, JobOrder
from monitor.domain.stream import StreamKey
from monitor.domain.view import Overview
from monitor.drift.correlation import RewardCorrelation
from monitor.drift.daily import DayEvidence, Moved
from monitor.drift.moved import MovedStreams
from monitor.drift.status import Streams
from monitor.errors import InvalidSetting
from monitor.postgres.engine import AWAY, create_engine_for
from monitor.postgres.views.streams import PostgresStreams
from monitor.stats.rank_correlation import RankCorrelation
from monitor.telemetry.health import Health
from monitor.telemetry.metrics import Metrics
from monitor.web.app import create_app
from monitor.web.middleware import MAX_BODY_BYTES
from monitor.web.server import WebServer
from tests.reports import NO_NUMBER, a_report, an_estimate
from tests.unit.in_memory_ports import NOW, InMemoryMonitor, a_job, stored_alarm, stream_status

TOKENS = {"view-me": "viewer", "label-me": "annotator", "run-me": "operator"}
CHANGE = {"X-Requested-With": "rlhf-monitor"}
START = {"action": "reward_refresh", "reason": "refusals rose after the release"}


@pytest.fixture
def monitor() -> InMemoryMonitor:
    return InMemoryMonitor()


@pytest.fixture
def health() -> Health:
    return Health(["postgres"])


def client_of(
    monitor: InMemoryMonitor, health: Health, tokens: Mapping[str, str], host: str, *, scrape: str | None = None
) -> TestClient:
    registry = CollectorRegistry()
    Metrics(registry)
    app = create_app(monitor.ports(), health=health, registry=registry, tokens=tokens, metrics_token=scrape)
    return TestClient(app, base_url=f"http://{host}", raise_server_exceptions=False)


@pytest.fixture
def local(monitor: InMemoryMonitor, health: Health) -> TestClient:
    """The browser of somebody on the same machine; no tokens are configured."""
    return client_of(monitor, health, {}, "127.0.0.1:8080")


@pytest.fixture
def guarded(monitor: InMemoryMonitor, health: Health) -> TestClient:
    """A client of a server with tokens, under its public name."""
    return client_of(monitor, health, TOKENS, "monitor.example.org")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_what_goes_with_the_reward_is_told_with_whether_it_moved(local: TestClient, monitor: InMemoryMonitor) -> None:
    before, now = RankCorrelation(0.1, 0.0, 0.2, 500), RankCorrelation(0.6, 0.5, 0.7, 400)
    monitor.together.append(RewardCorrelation.of(("m", "s", "response_length"), before, now))
    monitor.together.append(RewardCorrelation.of(("m", "s", "bold"), None, now))
    rows = local.get("/api/v1/correlations").json()
    assert [(row["signal"], row["has_moved"]) for row in rows] == [("bold", False), ("response_length", True)]
    assert rows[1]["current"] == {"estimate": 0.6, "lower": 0.5, "upper": 0.7, "pairs": 400}
    assert rows[0]["baseline"] is None


def test_every_part_that_is_not_ready_is_named_with_its_reason(local: TestClient, health: Health) -> None:
    waiting = local.get("/readyz")
    assert (waiting.status_code, waiting.json()) == (503, {"ready": False, "parts": {"postgres": "starting"}})
    health.set_ready("postgres")
    assert local.get("/readyz").status_code == 200


def test_a_process_with_a_dead_part_is_not_alive(local: TestClient, health: Health) -> None:
    assert local.get("/healthz").status_code == 200
    health.fail("postgres", ValueError("broken"))
    assert local.get("/healthz").status_code == 503


@pytest.mark.parametrize(
    ("accept", "media_type", "ending"),
    [
        pytest.param("text/plain", "text/plain", "", id="a plain scraper gets text"),
        pytest.param(
            "application/openmetrics-text;version=1.0.0",
            "application/openmetrics-text",
            "# EOF\n",
            id="a modern scraper gets OpenMetrics",
        ),
    ],
)
def test_metrics_are_exposed_in_the_form_asked_for(
    local: TestClient, accept: str, media_type: str, ending: str
) -> None:
    answer = local.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(media_type)
    assert 'monitor_traces_total{outcome="counted"} 0.0' in answer.text
    assert answer.text.endswith(ending)


def test_probes_and_metrics_are_open_and_the_api_is_not(guarded: TestClient) -> None:
    assert [guarded.get(path).status_code for path in ("/healthz", "/metrics", "/")] == [200, 200, 200]
    for token in ({}, bearer("guess"), {"Authorization": "Basic cnVuLW1lOg=="}):
        refused = guarded.get("/api/v1/streams", headers=token)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    ("tokens", "token", "status"),
    [
        pytest.param(TOKENS, None, 401, id="nobody without one"),
        pytest.param(TOKENS, "guess", 401, id="not by an unknown one"),
        pytest.param(TOKENS, "scrape-me", 200, id="Prometheus"),
        pytest.param(TOKENS, "view-me", 200, id="who may read the rates anyway"),
        pytest.param(TOKENS, "label-me", 403, id="no annotator"),
        pytest.param({}, "scrape-me", 200, id="Prometheus on this machine"),
        pytest.param({}, None, 401, id="nobody else on this machine"),
    ],
)
@pytest.mark.parametrize("scrape", ["scrape-me", f"sha256:{sha256(b'scrape-me').hexdigest()}"], ids=["plain", "digest"])
def test_a_token_shuts_metrics_but_for_whom_it_is_meant(
    health: Health, tokens: Mapping[str, str], token: str | None, status: int, scrape: str
) -> None:
    client = client_of(InMemoryMonitor(), health, tokens, "127.0.0.1:8080", scrape=scrape)
    answer = client.get("/metrics", headers={} if token is None else bearer(token))
    assert (answer.status_code, "monitor_traces_total" in answer.text) == (status, status == 200)
    assert client.get("/healthz").status_code == 200
    if tokens and token == "scrape-me":
        assert client.get("/api/v1/streams", headers=bearer(token)).status_code == 401


@pytest.mark.parametrize(
    ("token", "reads", "starts"),
    [
        pytest.param("view-me", 200, 403, id="a viewer reads and starts no job"),
        pytest.param("label-me", 403, 403, id="an annotator does neither"),
        pytest.param("run-me", 200, 201, id="an operator starts a job"),
    ],
)
def test_roles_bound_what_a_token_may_read_and_change(guarded: TestClient, token: str, reads: int, starts: int) -> None:
    assert guarded.get("/api/v1/jobs", headers=bearer(token)).status_code == reads
    assert guarded.post("/api/v1/jobs", json=START, headers=bearer(token)).status_code == starts


def test_an_annotator_is_refused_by_every_route_but_its_own(guarded: TestClient) -> None:
    paths = guarded.get("/api/openapi.json").json()["paths"]
    own = ("/api/v1/review/", "/api/v1/labels", "/api/v1/whoami", "/api/v1/logout")
    others = [
        (method, path.format(**(dict.fromkeys(re.findall(r"{(\w+)}", path), 1) | {"letter": "traces:0:1"})))
        for path, methods in paths.items()
        for method in methods
        if path.startswith("/api/v1/") and not path.startswith(own)
    ]
    assert len(others) > 15
    for method, path in others:
        answer = guarded.request(method, path, headers=bearer("label-me"), json=None if method == "get" else {})
        assert (answer.status_code, path) == (403, path)
        assert "role 'annotator'" in answer.json()["detail"]


def test_the_audit_name_tells_tokens_of_one_role_apart_without_showing_them(
    monitor: InMemoryMonitor, health: Health
) -> None:
    client = client_of(monitor, health, {"alice-secret": "operator", "bob-secret": "operator"}, "monitor.example.org")
    names = [
        client.get("/api/v1/whoami", headers=bearer(token)).json()["name"] for token in ("alice-secret", "bob-secret")
    ]
    assert names[0] != names[1]
    assert all(name.startswith("operator-") and "secret" not in name for name in names)


def test_a_holder_who_gets_a_new_token_keeps_the_name(monitor: InMemoryMonitor, health: Health) -> None:
    tokens, names = {"old-secret": "annotator", "new-secret": "annotator"}, {"old-secret": "ada", "new-secret": "ada"}
    app = create_app(monitor.ports(), health=health, registry=CollectorRegistry(), tokens=tokens, names=names)
    client = TestClient(app, base_url="http://monitor.example.org")
    said = [client.get("/api/v1/whoami", headers=bearer(token)).json() for token in tokens]
    assert said == [{"name": "ada", "role": "annotator", "session": False, "version": __version__}] * 2


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/alarms"])
def test_a_rebound_host_name_reads_nothing_without_tokens(monitor: InMemoryMonitor, health: Health, path: str) -> None:
    for host in ("evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example:8080"):
        assert client_of(monitor, health, {}, host).get(path).status_code == 403
    for host in ("localhost:8080", "127.0.0.1:8080", "[::1]:8080", "127.0.0.1"):
        assert client_of(monitor, health, {}, host).get(path).status_code == 200


def test_a_foreign_page_cannot_change_anything_without_tokens(local: TestClient, monitor: InMemoryMonitor) -> None:
    refused = local.post("/api/v1/jobs", json=START)
    assert refused.status_code == 403
    assert "X-Requested-With" in refused.json()["detail"]
    assert monitor.kept == {}
    assert local.post("/api/v1/jobs", json=START, headers=CHANGE).status_code == 201
    assert monitor.kept[1].requested_by == "local"


def test_a_verdicts_report_is_for_operators_and_may_run_nothing(guarded: TestClient, monitor: InMemoryMonitor) -> None:
    monitor.pages[1] = b"<!doctype html><title>Job 1</title>"
    path = "/api/v1/jobs/1/report"
    assert [guarded.get(path, headers=bearer(token)).status_code for token in TOKENS] == [403, 403, 200]
    told = guarded.get(path, headers=bearer("run-me"))
    assert (told.content, told.headers["content-type"]) == (monitor.pages[1], "text/html; charset=utf-8")
    policy = told.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert guarded.get("/api/v1/jobs/2/report", headers=bearer("run-me")).status_code == 404


def test_what_moved_is_told_of_a_day_or_of_the_last_one(local: TestClient, monitor: InMemoryMonitor) -> None:
    assert local.get("/api/v1/moved").json() is None
    key, days = StreamKey("refusal", "a", "m", "1"), [date(2026, 11, 20), date(2026, 11, 21)]
    for day in days:
        row = Moved(DayEvidence(key, day, 40, 9.5, Direction.UP), True, False)
        monitor.told[day] = MovedStreams(day, 12, 0.1, (row,))
    told = local.get("/api/v1/moved").json()
    assert (told["day"], told["streams"], told["false_share"]) == ("2026-11-21", 12, 0.1)
    assert told["moved"][0]["evidence"]["stream"]["cohort"] == "a"
    assert (told["moved"][0]["evidence"]["direction"], told["moved"][0]["over_days"]) == ("up", False)
    assert local.get("/api/v1/moved?day=2026-11-20").json()["day"] == "2026-11-20"
    assert local.get("/api/v1/moved?day=yesterday").status_code == 422


def test_where_the_scorer_stands_by_its_anchor_set_is_told(local: TestClient, monitor: InMemoryMonitor) -> None:
    assert local.get("/api/v1/anchor").json() is None
    monitor.anchored = AnchorStatus("anchors-1", "scorer-1", NOW, 3, 64, 0.41, 0.52, 0.05, moved=True)
    told = local.get("/api/v1/anchor").json()
    assert (told["scorer_version"], told["mean"], told["moved"]) == ("scorer-1", 0.41, True)


def test_estimates_come_with_their_blocks_and_only_those_that_were_asked_for(
    local: TestClient, monitor: InMemoryMonitor
) -> None:
    few = an_estimate(cohort="few", **NO_NUMBER)
    monitor.told_of_labels = [a_report(an_estimate(), few), a_report(an_estimate(0.06), signal="refusal_rate")]
    [report] = local.get("/api/v1/estimates", params={"signal": "win_rate", "cohort": "few"}).json()
    [row] = report["estimates"]
    assert (row["estimate"], row["reason"]) == (None, "12 labels; an estimate takes at least 30")
    assert (report["blocks"]["dropped"], report["labels"]) == (2, {"counted": 81, "not_selected": 5, "waiting": 12})
    everything = local.get("/api/v1/estimates", params={"window": "week"}).json()
    assert [len(report["estimates"]) for report in everything] == [2, 1]
    for wrong in ({"past_weeks": 27}, {"window": "year"}, {"signal": "mood"}):
        assert local.get("/api/v1/estimates", params=wrong).status_code == 422


def test_streams_come_by_name_and_no_evidence_is_null(local: TestClient, monitor: InMemoryMonitor) -> None:
    later = stream_status(key=StreamKey("reward", "*", "chat-2", "v1"))
    monitor.statuses = [later, stream_status(evidence_log=-math.inf)]
    rows = local.get("/api/v1/streams").json()
    assert [row["key"]["signal"] for row in rows] == ["refusal", "reward"]
    assert [row["evidence_log"] for row in rows] == [None, 0.31]
    assert rows[0]["last_timestamp"] == "2026-11-21T12:00:00Z"


def test_an_alarm_is_acknowledged_once_and_by_name(local: TestClient, monitor: InMemoryMonitor) -> None:
    monitor.stored = {1: stored_alarm(1), 2: stored_alarm(2, state=AlarmState.SUPERSEDED)}
    assert [row["alarm_id"] for row in local.get("/api/v1/alarms?state=open").json()] == [1]
    seen = local.post("/api/v1/alarms/1/acknowledge", headers=CHANGE).json()
    assert (seen["state"], seen["acknowledged_by"]) == ("acknowledged", "local")
    assert local.get("/api/v1/alarms/1").json() == seen
    again = local.post("/api/v1/alarms/1/acknowledge", headers=CHANGE)
    assert (again.status_code, again.json()["title"]) == (409, "Conflict")
    assert local.post("/api/v1/alarms/9/acknowledge", headers=CHANGE).status_code == 404


def test_an_alarm_is_explained_and_one_that_is_not_there_is_not(local: TestClient, monitor: InMemoryMonitor) -> None:
    monitor.stored = {1: stored_alarm(1)}
    told = local.get("/api/v1/alarms/1/explanation").json()
    assert (told["stored"]["alarm_id"], told["effect"]["unit"], told["recount"]) == (1, "tokens", None)
    assert local.get("/api/v1/alarms/2/explanation").status_code == 404
    assert local.get("/api/v1/baseline/laws").json() is None


def test_an_incident_is_read_with_its_alarms_and_moved_as_its_state_allows(
    local: TestClient, monitor: InMemoryMonitor
) -> None:
    ended = replace(stored_alarm(3, incident_id=2, state=AlarmState.RECOVERED), recovered_at=NOW)
    monitor.stored = {1: stored_alarm(1), 2: stored_alarm(2, cohort="a"), 3: ended}
    assert [row["incident_id"] for row in local.get("/api/v1/incidents").json()] == [2, 1]
    live = local.get("/api/v1/incidents?state=open&state=snoozed").json()
    assert [(row["incident_id"], row["facts"]["members"], row["facts"]["state"]) for row in live] == [(1, 2, "open")]
    found = local.get("/api/v1/incidents/1").json()
    assert ([row["alarm_id"] for row in found["alarms"]], found["incident"]) == ([1, 2], live[0])
    asleep = local.post("/api/v1/incidents/1/snooze", json={"seconds": 3600}, headers=CHANGE).json()
    assert asleep["incident"]["facts"]["snoozed_until"] == "2026-11-21T13:00:00Z"
    assert local.post("/api/v1/incidents/1/reopen", headers=CHANGE).status_code == 200
    one = local.post("/api/v1/alarms/2/snooze", json={"seconds": 60}, headers=CHANGE).json()
    assert (one["state"], local.get("/api/v1/incidents/1").json()["incident"]["facts"]["state"]) == ("snoozed", "open")
    assert local.post("/api/v1/alarms/2/reopen", headers=CHANGE).status_code == 200
    seen = local.post("/api/v1/incidents/1/acknowledge", headers=CHANGE).json()
    assert [row["acknowledged_by"] for row in seen["alarms"]] == ["local", "local"]
    assert local.post("/api/v1/incidents/1/acknowledge", headers=CHANGE).status_code == 409
    assert local.post("/api/v1/incidents/9/acknowledge", headers=CHANGE).status_code == 404
    assert local.get("/api/v1/incidents/9").status_code == 404
    for seconds in (59, 31 * 86_400, "soon"):
        refused = local.post("/api/v1/incidents/1/snooze", json={"seconds": seconds}, headers=CHANGE)
        assert refused.status_code == 422


@pytest.mark.parametrize("what", ["incidents", "alarms"])
@pytest.mark.parametrize("order", ["acknowledge", "snooze", "reopen"])
def test_only_an_operator_moves_an_incident_or_an_alarm(
    guarded: TestClient, monitor: InMemoryMonitor, what: str, order: str
) -> None:
    state = AlarmState.ACKNOWLEDGED if order == "reopen" else AlarmState.OPEN
    monitor.stored = {1: stored_alarm(1, state=state)}
    path, body = f"/api/v1/{what}/1/{order}", {"seconds": 3600} if order == "snooze" else None
    statuses = [guarded.post(path, json=body, headers=bearer(token)).status_code for token in ("view-me", "run-me")]
    assert statuses == [403, 200]


def test_a_job_is_moved_only_as_its_state_allows(local: TestClient, monitor: InMemoryMonitor) -> None:
    monitor.kept = {1: a_job(1, JobState.AWAITING_APPROVAL), 2: a_job(2, JobState.PROMOTED)}
    assert {row["job"]["job_id"]: row["orders"] for row in local.get("/api/v1/jobs").json()} == {
        1: ["approve", "reject"],
        2: ["rollback"],
    }
    assert local.post("/api/v1/jobs/1/approve", headers=CHANGE).json()["job"]["state"] == "queued"
    assert local.post("/api/v1/jobs/2/approve", headers=CHANGE).status_code == 409
    assert local.post("/api/v1/jobs/2/rollback", headers=CHANGE).json()["job"]["state"] == "rolled_back"
    assert [event["state"] for event in local.get("/api/v1/jobs/2").json()["events"]] == ["rolled_back"]


def test_every_order_is_a_transition_the_domain_knows() -> None:
    for state, orders in ORDERS.items():
        assert set(orders.values()) - {state} <= TRANSITIONS[state]  # keeping what was promoted moves nothing


def test_a_second_live_job_of_an_action_is_refused_with_the_first_one_named(local: TestClient) -> None:
    assert local.post("/api/v1/jobs", json=START, headers=CHANGE).status_code == 201
    second = local.post("/api/v1/jobs", json=START, headers=CHANGE)
    assert second.status_code == 409
    assert second.headers["content-type"] == "application/problem+json"
    assert "job 1 (reward_refresh) is queued" in second.json()["detail"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        pytest.param('{"action": "dpo"}', "body.reason", id="a missing reason"),
        pytest.param('{"action": "dpo", "reason": "   "}', "body.reason", id="a blank reason"),
        pytest.param('{"action": "burn", "reason": "why not"}', "'burn'", id="an unknown action"),
        pytest.param('{"action": "dpo", "reason": "a\\u0000b c"}', "body.reason", id="a NUL, which no database keeps"),
        pytest.param('{"action": "dpo", "reason": "\\ud800 lone"}', "body.reason", id="a lone surrogate"),
        pytest.param('{"action": "dpo", "reason": 7}', "= 7", id="a number for a text"),
        pytest.param('{"action": "dpo", "reason": "fine", "who": 1}', "body.who", id="a field nobody knows"),
        pytest.param("{", "body", id="half a document"),
    ],
)
def test_a_wrong_request_is_answered_with_the_field_at_fault(local: TestClient, body: str, named: str) -> None:
    answer = local.post("/api/v1/jobs", content=body, headers={**CHANGE, "Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert named in answer.json()["detail"]


@pytest.mark.parametrize("number", ["0", "-1", "x", "9223372036854775808", "1e3"])
def test_a_number_the_database_cannot_hold_is_refused_before_it_gets_there(local: TestClient, number: str) -> None:
    assert local.get(f"/api/v1/jobs/{number}").status_code == 422


def test_the_console_offers_only_actions_that_can_be_started(local: TestClient) -> None:
    page = local.get("/").text
    assert 'value="reward_refresh"' in page
    assert 'value="dpo"' in page


def test_long_bodies_are_refused_before_they_are_read(local: TestClient) -> None:
    headers = {**CHANGE, "Content-Type": "application/json"}
    assert local.post("/api/v1/jobs", content=b" " * (MAX_BODY_BYTES + 1), headers=headers).status_code == 413
    assert local.post("/api/v1/jobs", content=iter([b"{}"]), headers=headers).status_code == 411


def test_a_lost_database_is_503_and_a_bug_is_500_and_both_are_problems(
    local: TestClient, monitor: InMemoryMonitor
) -> None:
    monitor.away = True
    lost = local.get("/api/v1/streams")
    assert (lost.status_code, lost.headers["retry-after"]) == (503, "5")
    monitor.away = False
    monitor.statuses = [None]  # type: ignore[list-item]
    broken = local.get("/api/v1/streams")
    assert (broken.status_code, broken.headers["content-type"]) == (500, "application/problem+json")
    assert "NoneType" not in broken.text


def test_a_client_hears_that_postgresql_is_away_and_the_log_alone_where_it_was_looked_for(
    monitor: InMemoryMonitor, health: Health
) -> None:
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        engine = create_engine_for(f"postgresql://ada:secret@127.0.0.1:{port}/monitor")
        ports = replace(monitor.ports(), streams=Streams(PostgresStreams(engine)))
        app = create_app(ports, health=health, registry=CollectorRegistry(), tokens=TOKENS)
        viewer = {"Authorization": "Bearer view-me"}
        with capture_logs() as logs:
            lost = TestClient(app, base_url="http://monitor.example.org").get("/api/v1/streams", headers=viewer)
    assert (lost.status_code, lost.json()["detail"]) == (503, AWAY)
    (entry,) = logs
    assert (entry["event"], entry["path"]) == ("request_unavailable", "/api/v1/streams")
    assert f"port {port} failed" in entry["reason"]


def test_what_is_not_there_yet_is_null_and_not_an_error(local: TestClient) -> None:
    assert local.get("/api/v1/baseline").json() is None
    assert local.get("/api/v1/models").json() == []
    assert local.get("/api/v1/models/v1").status_code == 404


def test_the_overview_counts_dead_letters_by_reason(local: TestClient, monitor: InMemoryMonitor) -> None:
    monitor.counts = Overview(10, 2, 1, 3, {"not_json": 4}, 0, 5, 7, True, None)
    overview = local.get("/api/v1/overview").json()
    assert (overview["dead_letters"], overview["kafka_lag_records"], overview["has_leader"]) == (
        {"not_json": 4},
        7,
        True,
    )


@pytest.mark.parametrize("path", ["/", "/review", "/static/console.js", "/api/v1/streams", "/nowhere", "/healthz"])
def test_every_answer_forbids_inline_scripts_and_framing(local: TestClient, path: str) -> None:
    policy = local.get(path).headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", "/review"])
def test_the_page_itself_holds_no_inline_script_style_or_foreign_address(local: TestClient, path: str) -> None:
    page = local.get(path).text
    assert "<script>" not in page
    assert "style=" not in page
    assert "onclick" not in page
    assert "//" not in page.replace("<!--", "").replace("http://www.w3.org", "")


def test_the_console_builds_no_markup_from_text() -> None:
    scripts = list((Path(__file__).parents[2] / "monitor/web/console/static").glob("*.js"))
    assert scripts
    for script in scripts:
        for hole in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert hole not in script.read_text(), f"{script.name} uses {hole}"


def test_openapi_names_every_route_and_needs_no_page_from_elsewhere(guarded: TestClient) -> None:
    paths, orders = (
        guarded.get("/api/openapi.json").json()["paths"],
        {f"/api/v1/jobs/{{job_id}}/{one}" for one in JobOrder},
    )
    assert {*orders, "/api/v1/alarms/{alarm_id}/acknowledge", "/readyz"} <= set(paths)
    assert guarded.get("/docs").status_code == 404


@pytest.fixture
def server(monitor: InMemoryMonitor) -> Iterator[WebServer]:
    health = Health(["web"])
    app = create_app(monitor.ports(), health=health, registry=CollectorRegistry(), tokens={})
    server = WebServer(app, host="127.0.0.1", port=0, health=health)
    yield server
    server.stop()


def test_a_server_answers_on_the_port_it_picked_and_stops_cleanly(server: WebServer) -> None:
    port = server.start()
    assert httpx.get(f"http://127.0.0.1:{port}/readyz").json() == {"ready": True, "parts": {"web": ""}}
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/readyz")


def test_an_address_in_use_is_named_with_what_was_wanted(monitor: InMemoryMonitor) -> None:
    health = Health(["web"])
    app = create_app(monitor.ports(), health=health, registry=CollectorRegistry(), tokens={})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidSetting, match=rf"web.host = '127.0.0.1', web.port = {port}: Address already in use"):
            WebServer(app, host="127.0.0.1", port=port, health=health).start()
    assert health.ready() == (False, {"web": "starting"})


def test_only_an_operator_erases_texts_and_sees_what_was_erased(guarded: TestClient, monitor: InMemoryMonitor) -> None:
    order = {"kind": "user", "name": "u-1"}
    for token in ("view-me", "label-me"):
        headers = {"Authorization": f"Bearer {token}"}
        assert guarded.post("/api/v1/erasures", json=order, headers=headers).status_code == 403
        assert guarded.get("/api/v1/erasures", headers=headers).status_code == 403
    assert monitor.erased == []
    headers = {"Authorization": "Bearer run-me"}
    counted = guarded.post("/api/v1/erasures", json=order | {"dry_run": True}, headers=headers).json()
    assert (counted["erasure_id"], counted["deleted"], monitor.erased) == (None, {"traces": 1}, [])
    done = guarded.post("/api/v1/erasures", json=order, headers=headers).json()
    assert (done["erasure_id"], done["sha256"]) == (1, sha256(b"u-1").hexdigest())
    assert guarded.get("/api/v1/erasures", headers=headers).json() == [done]


@pytest.mark.parametrize("order", [{"kind": "trace", "name": "t"}, {"kind": "user", "name": ""}, {"kind": "user"}])
def test_an_erasure_of_nobody_is_refused(local: TestClient, order: dict[str, str]) -> None:
    assert local.post("/api/v1/erasures", json=order, headers=CHANGE).status_code == 422
