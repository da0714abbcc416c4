"""Own signals in the whole program, on real Kafka and PostgreSQL: redacted first, stored, followed, and never fatal."""

from __future__ import annotations

import os
import socket
from typing import Any

import httpx
import pytest

from monitor.app.wiring import Daemon
from monitor.own.failures import Trouble
from monitor.postgres.engine import create_engine_for
from monitor.postgres.signal_troubles import PostgresSignalTroubles
from monitor.settings.root import Settings
from tests.program import Site, running, wait_for
from tests.real_kafka import Kafka
from tests.traces import line, trace

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
OWN = [
    {"name": "names_acme", "pattern": "(?i)acme", "meaning": "the answer names Acme"},
    {"name": "has_mail", "pattern": "@"},
    {"name": "words", "kind": "length", "callable": "tests.own_functions:words"},
    {"name": "broken", "callable": "tests.own_functions:says_text"},
    {"name": "leaving", "callable": "tests.own_functions:leaves"},
]


def settings_of(site: Site, own: list[dict[str, Any]], **more: Any) -> Settings:
    form = site.form()
    form["ingest"] = form["ingest"] | {"redaction": {"patterns": ["email"]}}
    return Settings(**form, signals={"own": own, **more})  # type: ignore[arg-type]


def lines(first: int, count: int) -> list[bytes]:
    answers = ("Ask Acme at help@acme.example.", "We do it ourselves, here.")
    return [line(trace(number, response=answers[number % 3 > 0])) for number in range(first, first + count)]


def get(daemon: Daemon, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{daemon.port}{path}", timeout=10.0)


def signals(daemon: Daemon) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in get(daemon, "/api/v1/signals").json()}


def stored(site: Site) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for signal, version in site.query("select distinct signal, scorer_version from observation_batch"):
        found.setdefault(signal, set()).add(version)
    return found


def test_own_signals_are_stored_followed_and_named_where_they_fail(kafka: Kafka, postgres_url: str) -> None:
    site = Site(kafka, postgres_url, baseline_traces=300)
    with running(settings_of(site, OWN)) as daemon:
        wait_for(lambda: daemon.health.ready()[0], "a ready daemon")
        site.send(lines(0, 600))
        wait_for(lambda: site.folded() == 600, "the fold")
        streams = {row["key"]["signal"]: row for row in get(daemon, "/api/v1/streams").json()}
        wait_for(lambda: signals(daemon)["broken"]["failures"] == 600, "what fails")
        engine = create_engine_for(postgres_url)
        others = PostgresSignalTroubles(engine)
        others.tell("other/1", {"broken": Trouble(7, "a str is no number")})
        others.tell("gone/2", {"broken": Trouble(9, "a str is no number")})
        site.query(
            "update signal_trouble set told_at = now() - interval '2 minutes' where worker = 'gone/2' returning 1"
        )
        engine.dispose()
        rows = signals(daemon)
        metrics = get(daemon, "/metrics").text
        assert daemon.health.ready()[0]
    assert {"names_acme", "words", "has_mail", "error"} <= streams.keys()
    assert streams["words"]["unit"] == "value"
    assert streams["names_acme"]["mean"] == pytest.approx(1 / 3, abs=0.03)
    assert streams["has_mail"]["mean"] == 0.0, "addresses are taken out before own signals read"
    assert not {"broken", "leaving"} & stored(site).keys()
    told = [(one["worker"], one["failures"], one["why"]) for one in rows["broken"]["troubles"]]
    assert told == [
        (f"{socket.gethostname()}/{os.getpid()}", 600, "a str is no number"),
        ("other/1", 7, "a str is no number"),
    ]
    assert [one["why"] for one in rows["leaving"]["troubles"]] == ["it raised SystemExit"]
    assert rows["names_acme"]["meaning"] == "the answer names Acme"
    assert 'monitor_signal_failures_total{signal="broken"} 600.0' in metrics
    assert 'monitor_signal_failures_total{signal="names_acme"} 0.0' in metrics


def test_a_signal_that_is_changed_or_added_gets_a_law_from_the_kept_answers_and_one_taken_out_just_ends(
    kafka: Kafka, postgres_url: str
) -> None:
    site = Site(kafka, postgres_url, baseline_traces=300)
    with running(settings_of(site, [OWN[0], OWN[1]])) as daemon:
        wait_for(lambda: daemon.health.ready()[0], "a ready daemon")
        site.send(lines(0, 400))
        wait_for(lambda: site.folded() == 400, "the fold")
    [before] = stored(site)["names_acme"]
    changed = [OWN[0] | {"pattern": "(?i)acme|ourselves"}, {"name": "asks", "pattern": "Ask"}]
    with running(settings_of(site, changed, off=["error"])) as daemon:
        wait_for(lambda: daemon.health.ready()[0], "a ready daemon")
        site.send(lines(400, 300))
        wait_for(lambda: site.folded() == 700, "the fold")

        def followed() -> set[tuple[str, str]]:
            rows = get(daemon, "/api/v1/streams").json()
            return {(row["key"]["signal"], row["key"]["scorer_version"]) for row in rows}

        [after] = stored(site)["names_acme"] - {before}
        [asks] = stored(site)["asks"]
        wait_for(lambda: {("names_acme", after), ("asks", asks)} <= followed(), "laws from the kept answers")
        assert daemon.health.ready()[0]
        streams = get(daemon, "/api/v1/streams").json()
    ended = {row["key"]["signal"]: row["observations"] for row in streams if row["key"]["cohort"] == "*"}
    assert (ended["has_mail"], ended["error"]) == (100, 100), "what is taken out ends where its values end"
    new = {row["key"]["scorer_version"]: row["mean"] for row in streams if row["key"]["signal"] == "names_acme"}
    assert new[after] == 1.0
