"""The daemon on a broker and a database: hostile records, the backtest's alarms, SIGTERM, two workers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.structs import TopicPartition
from typer.testing import CliRunner

from monitor.app.wiring import Daemon
from monitor.cli.root import app
from monitor.domain.view import Overview
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.engine import create_engine_for
from monitor.postgres.views.overview import PostgresOverview
from monitor.settings.root import Settings
from tests.integration.kafka_reading import recreate
from tests.program import Program, Site, running, wait_for
from tests.real_kafka import RealKafka
from tests.traces import drifting, line, trace

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
TRACES = drifting(1500, change=900)
HOSTILE: list[tuple[str, bytes]] = [
    ("not_json", b"garbage {"),
    ("not_utf8", b'\xff\xfe{"trace_id": 1}'),
    ("too_deep", b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ("nul_character", line(trace(90_001), response="a\x00b")),
    ("lone_surrogate", line(trace(90_002), response="\ud800 tail")),
    ("timestamp_out_of_range", line(trace(90_003), timestamp="9999-12-31T23:59:59Z")),
    ("response_too_long", line(trace(90_004), response="x" * 10_000_000)),
    ("empty_response", line(trace(90_005), response=" ")),
    ("missing_field", b'{"trace_id": "t-90006"}'),
    ("wrong_type", line(trace(90_007), output_tokens="many")),
]


def hostile_replay() -> list[bytes]:
    """Return the traces' lines with a hostile record and a duplicate after every hundredth."""
    lines = []
    for number, item in enumerate(TRACES):
        lines.append(line(item))
        if number % 100 == 99:
            lines += [HOSTILE[number // 100 % len(HOSTILE)][1], line(TRACES[number - 50])]
    return lines


def shown(alarms: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    fields = ("signal", "cohort", "direction", "severity", "trace_index", "trace_id", "onset_index")
    return sorted((*(alarm[name] for name in fields), *sorted(alarm["effect"].items())) for alarm in alarms)


def raised(url: str) -> list[tuple[object, ...]]:
    engine = create_engine_for(url, 2)
    alarms = [item.alarm for item in PostgresAlarms(engine).alarms(state=None, limit=1000)]
    engine.dispose()
    rows = []
    for alarm in alarms:
        effect = {name: getattr(alarm.effect, name) for name in ("estimate", "lower", "upper", "unit")}
        row: dict[str, Any] = {"signal": alarm.stream.signal, "cohort": alarm.stream.cohort, "effect": effect}
        row |= {"trace_index": alarm.place, "onset_index": alarm.onset_place, "trace_id": alarm.trace_id}
        row |= {"direction": alarm.direction, "severity": alarm.severity}
        rows.append(row)
    return shown(rows)


ROLLED_UP = (
    "select sum(observations)::int from stream_rollup join stream using (stream_id)"
    " where signal = 'response_length' and cohort = '*' and width_seconds = 3600"
)


def overview(daemon: Daemon) -> Overview:
    return PostgresOverview(daemon._engine, kafka_lag=daemon._lag_records).overview()


def dead_letters(site: Site, count: int) -> list[Any]:
    consumer = KafkaConsumer(
        bootstrap_servers=site.kafka.bootstrap_servers, max_partition_fetch_bytes=32 * 1024 * 1024, group_id=None
    )
    consumer.assign([TopicPartition(site.dead_letters, 0)])
    consumer.seek_to_beginning()
    found: list[Any] = []

    def all_came() -> bool:
        for records in consumer.poll(200).values():
            found.extend(records)
        return len(found) >= count

    wait_for(all_came, "the dead letters")
    consumer.close()
    return found


def test_a_replay_with_hostile_records_counts_each_once_and_raises_the_backtest_s_alarms(
    kafka: RealKafka, postgres_url: str, tmp_path: Path
) -> None:
    lines = hostile_replay()
    file, result = tmp_path / "traces.jsonl", tmp_path / "alarms.json"
    file.write_bytes(b"\n".join(lines))
    arguments = ["backtest", file, "--baseline", 600, "--cohort-key", "dataset", "--warnings", "--json", result]
    assert CliRunner().invoke(app, [str(word) for word in arguments]).exit_code == 0
    expected = json.loads(result.read_text())

    site = Site(kafka, postgres_url)
    site.send([*lines, None])
    kept = Settings(**site.form() | {"retention": {"rollup_days": 0}})  # type: ignore[arg-type]
    with running(kept) as daemon:  # its traces are older than roll-ups are kept by default
        wait_for(lambda: site.folded() == len(TRACES), "the fold's end")
        wait_for(lambda: overview(daemon).dead_letters.get("empty_record") == 1, "the tombstone")
        wait_for(lambda: site.query(ROLLED_UP) == [(len(TRACES),)], "the roll-ups")
        seen = overview(daemon)
    reasons = Counter(HOSTILE[number % len(HOSTILE)][0] for number in range(15)) + Counter(["empty_record"])
    assert (seen.traces, seen.duplicates, seen.repeats) == (len(TRACES), 15, 0)
    assert seen.dead_letters == reasons
    assert expected["traces"] == len(TRACES)
    assert len(expected["alarms"]) >= 6
    assert raised(postgres_url) == shown(expected["alarms"])
    assert_dead_letters_are_whole(site, [*lines, None], reasons)


def assert_dead_letters_are_whole(site: Site, sent: list[bytes | None], reasons: Counter[str]) -> None:
    letters = dead_letters(site, reasons.total())
    assert Counter(dict(letter.headers)["reason"].decode() for letter in letters) == reasons
    for letter in letters:
        headers = dict(letter.headers)
        offset = int(headers["source_offset"])
        assert (letter.key, letter.value) == (b"key", sent[offset] or b"")
        assert (headers["format"], headers["number"]) == (b"native", b"%d" % offset)
        assert headers["source_topic"].decode() == site.traces
        assert headers["detail"]


def test_sigterm_leaves_within_the_drain_with_all_that_was_read_checkpointed(
    kafka: RealKafka, postgres_url: str, tmp_path: Path
) -> None:
    site = Site(kafka, postgres_url)
    site.send([line(item) for item in drifting(6000, change=6000)])
    with Program(site, tmp_path) as program:
        wait_for(lambda: site.count("trace") >= 1000, "the middle of the replay", pause_seconds=0.01)
        assert program.terminate(seconds=30.0) == 0
        stored = site.count("trace")
        assert site.query(f"select next_offset from consumer_offset where topic = '{site.traces}'") == [(stored,)]  # noqa: S608
        program.start()
        wait_for(lambda: site.count("trace") == 6000, "the end of the replay")
        assert program.terminate(seconds=30.0) == 0
    counts = "select sum(places), sum(duplicates) from log_entry join checkpoint using (entry_id)"
    assert site.query(counts) == [(6000, 0)]


def test_a_topic_created_again_ends_the_program_with_what_to_do_and_the_setting_reads_the_new_log_whole(
    kafka: RealKafka, postgres_url: str, tmp_path: Path
) -> None:
    site = Site(kafka, postgres_url)
    lines = [line(item) for item in drifting(600, change=600)]
    site.send(lines[:200])
    with Program(site, tmp_path) as program:
        wait_for(lambda: site.count("trace") == 200, "the first log")
        assert program.terminate(seconds=30.0) == 0
        recreate(kafka, site.settings().kafka, site.traces, lines[100:])
        program.start()
        assert program.wait(seconds=60.0) == 1
        assert "Set kafka.replaced_log to 'continue' to read it from offset 0 on" in program.log()
        assert site.count("trace") == 200
        program.set("kafka", replaced_log="continue")
        program.start()
        wait_for(lambda: site.count("trace") == 600, "the new log")
        assert program.terminate(seconds=30.0) == 0
    duplicates = "select sum(duplicates) from log_entry join checkpoint using (entry_id)"
    assert site.query(duplicates) == [(100,)]


def test_two_workers_share_two_partitions_and_nothing_is_lost_or_doubled_when_one_leaves(
    kafka: RealKafka, postgres_url: str
) -> None:
    site = Site(kafka, postgres_url, partitions=2)
    traces = drifting(4000, change=2500)
    halves = [[line(item) for item in traces[partition::2]] for partition in (0, 1)]

    def send(start: int, stop: int) -> None:
        for partition, half in enumerate(halves):
            site.send(half[start:stop], partition=partition)

    with running(site.settings()) as stays:
        with running(site.settings()) as leaves:
            wait_for(lambda: all(daemon.health.ready()[0] for daemon in (stays, leaves)), "two ready workers")
            send(0, 1000)
            wait_for(lambda: site.count("trace") >= 500, "both at work")
        send(1000, 2000)
        wait_for(lambda: site.folded() == len(traces), "the fold's end")
        seen = overview(stays)
    assert (seen.traces, seen.dead_letters) == (len(traces), {})
    ids = {row[0] for row in site.query("select trace_id from trace")}
    assert ids == {item.trace_id for item in traces}
    offsets = site.query(f"select next_offset from consumer_offset where topic = '{site.traces}'")  # noqa: S608
    assert offsets == [(2000,), (2000,)]
    assert {row[3] for row in raised(postgres_url)} == {"alert", "warning"}
