"""Recordings of real producers through Kafka and PostgreSQL: each call once, with what its parts tell."""

from __future__ import annotations

from pathlib import Path
from random import Random
from urllib.request import urlopen

import pytest

from tests.otlp_site import OtlpSite, logs_of, scripted_answers, spans_of, two_workers
from tests.program import Program, running, wait_for
from tests.real_kafka import RealKafka
from tests.recordings import OTLP

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
READ = "select sum(next_offset) from consumer_offset"


def test_all_recordings_piece_by_piece_over_two_topics_and_three_partitions_give_ten_traces_each(
    kafka: RealKafka, postgres_url: str
) -> None:
    site = OtlpSite(kafka, postgres_url, partitions=3, join_seconds=600.0)
    spans = [value for name in OTLP for value in spans_of(name)]
    logs = [value for name in OTLP for value in logs_of(name)]
    random = Random(5)
    random.shuffle(spans)
    random.shuffle(logs)
    with two_workers(site):
        for partition in range(3):
            site.send(logs[partition::3], topic=site.logs, partition=partition)
            site.send(spans[partition::3], topic=site.spans, partition=partition)
        wait_for(lambda: site.query(READ) == [(len(logs) + len(spans),)], "all parts")
        site.end_waiting()
        wait_for(lambda: site.count("trace") == 10 * len(OTLP), "the calls")
        wait_for(lambda: site.count("fragment") == 0, "the end of what waits")
    assert site.count("trace") == 10 * len(OTLP)
    assert site.query("select count(*) from trace where error is not null") == [(len(OTLP),)]
    told = len(OTLP) - 1  # one tells no texts at all
    answered = sum(answer is not None for answer in scripted_answers())
    assert site.query("select count(*) from trace where response is not null") == [(told * answered,)]
    assert site.query("select count(*) from trace where messages = '[]'") == [(10,)]
    asked = len(OTLP) - 2  # LiteLLM's calls are roots
    assert site.query("select count(*) from trace where conversation_id is not null")[0][0] >= 10 * asked


def test_calls_whose_texts_never_come_are_taken_without_and_told(kafka: RealKafka, postgres_url: str) -> None:
    site = OtlpSite(kafka, postgres_url, join_seconds=2.5)
    site.send(spans_of("otel_latest_event"), topic=site.spans)  # they come at once: a parent that is late is missed
    with running(site.settings()) as daemon:
        wait_for(lambda: site.count("trace") == 10, "the calls")
        wait_for(lambda: site.count("fragment") == 0, "the end of what waits")
        with urlopen(f"http://127.0.0.1:{daemon.port}/metrics") as answer:
            shown = answer.read().decode()
    assert 'monitor_incomplete_calls_total{missing="text"} 10.0' in shown
    assert 'monitor_incomplete_calls_total{missing="parent"} 0.0' in shown
    assert 'monitor_skipped_total{reason="other_span"} 10.0' in shown
    assert site.answers() == [None] * 10
    assert site.query("select count(output_tokens), count(conversation_id) from trace") == [(9, 10)]


def test_a_worker_that_is_told_to_leave_forces_nothing_that_waits(
    kafka: RealKafka, postgres_url: str, tmp_path: Path
) -> None:
    site = OtlpSite(kafka, postgres_url, join_seconds=600.0)
    spans = spans_of("otel_latest_event")
    with Program(site, tmp_path) as program:
        site.send(spans, topic=site.spans)
        wait_for(lambda: site.count("fragment") == len(spans), "the spans")
        assert program.terminate(30.0) == 0
    assert (site.count("fragment"), site.count("trace")) == (len(spans), 0)
