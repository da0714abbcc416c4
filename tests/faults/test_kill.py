"""The tables end the same, whatever was killed or taken away in the middle of a replay."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg import sql

from monitor.demo.models import build_tiny_base
from monitor.demo.postgres import EmbeddedPostgres
from monitor.postgres.migrate import upgrade
from monitor.rewards.huggingface import load_ensemble
from tests.labels import random_labels, wire
from tests.program import Program, Site, running, wait_for
from tests.real_kafka import RealKafka
from tests.traces import drifting, line

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
TRACES = drifting(4000, change=2500)
REPEATS = 40  # prompts asked again within the window
LINES = [line(item) for item in TRACES]
RECORDS = [
    *LINES[:1000], b"garbage", LINES[7], *LINES[1000:3000], *LINES[2990:2995], b"\xff",
    *(line(item, trace_id=f"again-{item.trace_id}") for item in TRACES[2900 : 2900 + REPEATS]), *LINES[3000:],
]  # fmt: skip
STORED = len(TRACES) + REPEATS
LAST = RECORDS[-900:]  # sent after the disturbance, which so never comes when all is done
PREFERENCES = [
    b'{"preference_id": "p-%d", "timestamp": "2025-03-01T05:00:00Z", "messages": [{"role": "user", "content": "Q"}],'
    b' "chosen": "A", "rejected": "B"}' % (number % 50)
    for number in range(80)
]
LABELS = [wire(item) for item in random_labels(Random(1), 60) * 2]
# What holds no number that a restart may change: ids of checkpoints, times of writing.
FINAL: dict[str, str] = {
    "trace": "select partition, record_offset, trace_id, timestamp, policy_model, conversation_id, cohort,"
    " messages::text, response, output_tokens, repeated from trace order by partition, record_offset",
    "order": "select first_place + ordinal, trace_id from trace join log_entry using (entry_id) order by 1",
    "counts": "select sum(places), sum(repeats), sum(duplicates) from log_entry join checkpoint using (entry_id)",
    "totals": "select name, label, value from running_total order by 1, 2",
    "dead letters": "select reason, sum(count::int) from checkpoint, jsonb_each_text(dead_letters) l(reason, count)"
    " group by 1 order by 1",
    "preference": "select preference_id, timestamp, messages::text, chosen, rejected, tie, cohort from preference"
    " order by 1",
    "label": "select label_id, digest, timestamp, trace_id, kind, value, annotator_id, source from label order by 1, 2",
    "repeat_key": "select key, last_counted from repeat_key order by 1",
    "consumer_offset": "select partition, next_offset from consumer_offset order by 1, 2",
    "alarm": "select signal, cohort, policy_model, scorer_version, severity, state, direction, place, trace_id,"
    " onset_place, observations, effect_estimate, effect_lower, effect_upper, examples from alarm"
    " order by place, signal, cohort, severity",
    "incident": "select summary, i.kind, i.severity, i.state, members, opened_at, paged_at, causes::text,"
    " array_agg((signal, cohort, a.severity)::text order by place, signal, cohort, a.severity)"
    " from incident i join alarm a using (incident_id) group by i.incident_id order by opened_at, summary",
    "baseline": "select first_place, stop_place, content::text from baseline",
    "detector": "select signal, cohort, observations, round(evidence_log::numeric, 6), round(mean::numeric, 6)"
    " from detector order by 1, 2",
}
STREAM_VALUES = (
    'select b.signal, e.first_place, b.cohorts, b.cohort_codes, b.ordinals, b."values"'
    " from observation_batch b join log_entry e using (entry_id)"
)


def final(site: Site) -> dict[str, Any]:
    return {name: site.query(query) for name, query in FINAL.items()} | {"streams": streams(site)}


def streams(site: Site) -> list[tuple[object, ...]]:
    """Return every observation with its trace's index, wherever the batches were cut."""
    rows: list[tuple[object, ...]] = []
    for signal, first, cohorts, codes, ordinals, values in site.query(STREAM_VALUES):
        names = [cohorts[code] for code in np.frombuffer(codes, "<i4")]
        indices = np.frombuffer(ordinals, "<i4") + first
        rows += zip([signal] * len(names), indices.tolist(), names, np.frombuffer(values, "<f8").tolist(), strict=True)
    return sorted(rows, key=str)


def sent(site: Site) -> Site:
    """Send all but the last records."""
    site.send(LABELS[:90], topic=site.labels)  # before their traces
    site.send(RECORDS[: -len(LAST)])
    site.send(PREFERENCES, topic=site.preferences)
    site.send(LABELS[90:], topic=site.labels)
    return site


def settled(site: Site) -> bool:
    read = site.query("select sum(next_offset) from consumer_offset")[0][0]
    return read == len(RECORDS) + len(PREFERENCES) + len(LABELS) and site.folded() == STORED


@pytest.fixture(scope="module")
def new_database(postgres: EmbeddedPostgres, _migrated_template: str) -> str:
    name = f"undisturbed_{uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        parts = sql.Identifier(name), sql.Identifier(_migrated_template)
        connection.execute(sql.SQL("create database {} template {}").format(*parts))
    return postgres.database_url(name)


@pytest.fixture(scope="module")
def undisturbed(kafka: RealKafka, new_database: str) -> dict[str, Any]:
    site = sent(Site(kafka, new_database, batch_max_traces=50))
    site.send(LAST)
    with running(site.settings()):
        wait_for(lambda: settled(site), "the end of the undisturbed replay")
    tables = final(site)
    assert len(tables["alarm"]) >= 6
    assert tables["counts"] == [(STORED, REPEATS, 6)]
    assert tables["dead letters"] == [("not_json", 1), ("not_utf8", 1)]
    return tables


def assert_same(site: Site, undisturbed: dict[str, Any]) -> None:
    tables = final(site)
    for name, rows in undisturbed.items():
        assert tables[name] == rows, name


def test_a_worker_killed_in_the_middle_of_a_replay_leaves_what_an_undisturbed_one_leaves(
    kafka: RealKafka, postgres_url: str, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    site = sent(Site(kafka, postgres_url, batch_max_traces=50))
    with Program(site, tmp_path) as program:
        for killed_after in (300, 1500, 2700):
            wait_for(lambda at=killed_after: site.count("trace") >= at, "progress", pause_seconds=0.005)  # type: ignore[misc]
            program.kill()
            program.start()
        site.send(LAST)
        wait_for(lambda: settled(site), "the end of the replay")
        program.check()
    assert_same(site, undisturbed)


def test_a_worker_killed_while_it_scores_leaves_one_score_for_every_trace(
    kafka: RealKafka, postgres_url: str, tmp_path: Path
) -> None:
    member = tmp_path / "member"
    build_tiny_base(member, [item.response or "" for item in TRACES[:200]], seed=1)
    site = Site(kafka, postgres_url, batch_max_traces=50, reward_model=member)
    site.send(LINES[:1200])
    with Program(site, tmp_path) as program:
        for killed_after in (100, 800):
            wait_for(lambda at=killed_after: site.count("score") >= at, "scores", pause_seconds=0.005)  # type: ignore[misc]
            program.kill()
            program.start()
        site.send(LINES[1200:1500])
        wait_for(lambda: site.count("trace") == 1500, "the end of the replay")
        program.check()
    scores = dict(site.query("select trace_id, mean from score"))
    assert site.count("score") == len(scores) == 1500
    ensemble = load_ensemble([member], device="cpu", max_tokens=128, batch_tokens=4096, beta=1.0)
    rewards = ensemble.score([(item.messages, item.response or "") for item in TRACES[:1500]])
    expected = {item.trace_id: reward.mean for item, reward in zip(TRACES, rewards, strict=False) if reward is not None}
    assert scores == pytest.approx(expected, abs=1e-4)


def test_a_database_that_goes_away_in_the_middle_of_a_replay_costs_nothing(
    kafka: RealKafka, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    with server:
        upgrade(server.url)
        site = sent(Site(kafka, server.url, batch_max_traces=50))
        with running(site.settings()) as daemon:
            for stopped_after in (500, 2500):
                wait_for(lambda at=stopped_after: site.count("trace") >= at, "progress", pause_seconds=0.005)  # type: ignore[misc]
                server.stop()
                wait_for(lambda: "worker" in waiting(daemon.health.ready()), "a worker that is not ready")
                server.start()
            site.send(LAST)
            wait_for(lambda: settled(site), "the end of the replay")
            wait_for(lambda: daemon.health.ready()[0], "readiness")
        assert_same(site, undisturbed)


def test_a_broker_that_goes_away_in_the_middle_of_a_replay_costs_nothing(
    kafka: RealKafka, postgres_url: str, undisturbed: dict[str, Any]
) -> None:
    site = sent(Site(kafka, postgres_url, batch_max_traces=50))
    with running(site.settings()) as daemon:
        wait_for(lambda: site.count("trace") >= 500, "progress", pause_seconds=0.005)
        kafka.stop()
        wait_for(lambda: "worker" in waiting(daemon.health.ready()), "a worker that is not ready")
        kafka.start()
        site.send(LAST)
        wait_for(lambda: settled(site), "the end of the replay")
        wait_for(lambda: daemon.health.ready()[0], "readiness")
    assert_same(site, undisturbed)


def test_a_leader_that_hangs_is_replaced_and_is_harmless_when_it_goes_on(
    kafka: RealKafka, postgres_url: str, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    site = Site(kafka, postgres_url, batch_max_traces=50)
    folders = tmp_path / "hangs", tmp_path / "follows"
    for folder in folders:
        folder.mkdir()
    with Program(site, folders[0]) as hangs, Program(site, folders[1]) as follows:
        wait_for(lambda: site.count("leader_lease") == 1, "a leader")
        (owner,) = site.query("select owner from leader_lease")[0]
        leader, other = (hangs, follows) if f"/{hangs.pid}/" in owner else (follows, hangs)
        sent(site)
        wait_for(lambda: site.folded() >= 700, "the middle of the fold", pause_seconds=0.005)
        leader.freeze()
        site.send(LAST)
        wait_for(lambda: site.query("select owner from leader_lease")[0][0] != owner, "another leader")
        wait_for(lambda: settled(site), "the end of the replay")
        leader.thaw()
        wait_for(lambda: "leads_no_more" in leader.log(), "the old leader's notice")
        leader.check()
        other.check()
    assert_same(site, undisturbed)


def waiting(readiness: tuple[bool, dict[str, str]]) -> dict[str, str]:
    return {part: reason for part, reason in readiness[1].items() if reason}
