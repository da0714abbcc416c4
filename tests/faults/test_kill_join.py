"""Nothing is lost and nothing is counted twice, whatever happens between a call's span and its texts."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from monitor.demo.postgres import EmbeddedPostgres
from monitor.postgres.migrate import upgrade
from tests.otlp_site import OtlpSite, logs_of, scripted_answers, spans_of
from tests.program import Program, running, wait_for
from tests.real_kafka import RealKafka

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
RECORDING = "otel_latest_event"
SPANS, LOGS = spans_of(RECORDING), logs_of(RECORDING)
WAITING = len(SPANS)  # ten calls and their parents


def assert_joined(site: OtlpSite) -> None:
    assert site.answers() == scripted_answers()
    asked = "select count(*), count(distinct trace_id), count(conversation_id), count(user_id) from trace"
    assert site.query(asked) == [(10, 10, 10, 10)]
    assert site.query("select sum(duplicates) from checkpoint") == [(0,)]
    assert site.count("stored_trace") == 10


@pytest.mark.parametrize("first", ["spans", "logs"])
def test_a_worker_killed_between_spans_and_their_texts_joins_them_when_it_is_back(
    kafka: RealKafka, postgres_url: str, tmp_path: Path, first: str
) -> None:
    site = OtlpSite(kafka, postgres_url, join_seconds=600.0)
    halves = {"spans": (SPANS, site.spans), "logs": (LOGS, site.logs)}
    before, after = (halves[first], halves["logs" if first == "spans" else "spans"])
    with Program(site, tmp_path) as program:
        site.send(before[0], topic=before[1])
        wait_for(lambda: site.count("fragment") == len(before[0]), "the first half")
        program.kill()
        assert site.count("trace") == 0
        site.send(after[0], topic=after[1])
        program.start()
        wait_for(lambda: site.count("trace") == 10, "the calls")
        program.check()
    assert_joined(site)


def test_a_worker_killed_again_and_again_in_the_middle_of_both_leaves_each_call_once(
    kafka: RealKafka, postgres_url: str, tmp_path: Path
) -> None:
    site = OtlpSite(kafka, postgres_url, batch_max_traces=3, join_seconds=600.0)
    mixed = [*((value, site.spans) for value in SPANS), *((value, site.logs) for value in LOGS)]
    Random(3).shuffle(mixed)
    for value, topic in mixed:
        site.send([value], topic=topic)
    read = "select coalesce(sum(next_offset), 0) from consumer_offset"
    with Program(site, tmp_path) as program:
        for killed_after in (4, 14):
            wait_for(lambda at=killed_after: site.query(read)[0][0] >= at, "progress", pause_seconds=0.002)  # type: ignore[misc]
            program.kill()
            program.start()
        wait_for(lambda: site.count("trace") == 10, "the calls")
        program.check()
    assert_joined(site)


def test_a_rebalance_between_spans_and_their_texts_loses_none(kafka: RealKafka, postgres_url: str) -> None:
    site = OtlpSite(kafka, postgres_url, partitions=2, join_seconds=600.0)
    with running(site.settings()):
        for partition in (0, 1):
            site.send(SPANS[partition::2], topic=site.spans, partition=partition)
        wait_for(lambda: site.count("fragment") == WAITING, "the spans")
        with running(site.settings()):
            for partition in (0, 1):
                site.send(LOGS[partition::2], topic=site.logs, partition=partition)
            wait_for(lambda: site.count("trace") == 10, "the calls")
    assert_joined(site)


def test_two_workers_that_read_the_halves_at_the_same_time_join_each_call_once(
    kafka: RealKafka, postgres_url: str
) -> None:
    site = OtlpSite(kafka, postgres_url, partitions=2, batch_max_traces=2, join_seconds=600.0)
    with running(site.settings()), running(site.settings()):
        for number, (span, line) in enumerate(zip([*SPANS], [*LOGS, *[None] * WAITING], strict=False)):
            site.send([span], topic=site.spans, partition=number % 2)
            if line is not None:
                site.send([line], topic=site.logs, partition=(number + 1) % 2)
        wait_for(lambda: site.count("trace") == 10, "the calls")
    assert site.answers() == scripted_answers()
    assert site.count("stored_trace") == 10


def test_a_server_that_is_killed_between_spans_and_their_texts_keeps_what_waits(
    kafka: RealKafka, tmp_path: Path
) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    with server:
        upgrade(server.url)
        site = OtlpSite(kafka, server.url, join_seconds=600.0)
        with running(site.settings()) as daemon:
            site.send(SPANS, topic=site.spans)
            wait_for(lambda: site.count("fragment") == WAITING, "the spans")
            server.stop()
            wait_for(lambda: not daemon.health.ready()[0], "a process that is not ready")
            site.send(LOGS, topic=site.logs)
            server.start()
            wait_for(lambda: site.count("trace") == 10, "the calls")
        assert_joined(site)
