"""A backlog of several partitions is read in the order of time."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from monitor.domain.trace import Trace
from monitor.ingest.kafka import FETCH_OPTIONS
from monitor.ingest.record import Record
from monitor.observe.repeat import mark_repeats
from monitor.settings.kafka import KafkaSettings
from tests.integration.kafka_reading import InMemoryOffsets, Read, produce, read_until
from tests.real_kafka import Kafka
from tests.traces import START, trace

pytestmark = pytest.mark.kafka
PARTITIONS, TRACES, CONVERSATIONS = 6, 6000, 100
START_MS = round(START.timestamp() * 1000)
STEP_MS = 10_000  # so that a conversation is seen again after 1,000 s, in another partition


def counted(records: list[Record]) -> int:
    traces = [_trace(int(record.value or b"0")) for record in records]
    memory: dict[bytes, datetime] = {}
    return len(traces) - sum(mark_repeats(traces, memory, timedelta(hours=1)))


def _trace(number: int) -> Trace:
    at = datetime.fromtimestamp((START_MS + number * STEP_MS) / 1000, UTC)
    return trace(number, timestamp=at, conversation_id=f"c-{number % CONVERSATIONS}")


def test_partitions_written_one_after_another_are_read_by_time_so_that_repeats_and_the_first_traces_are_as_they_were(
    kafka: Kafka, config: KafkaSettings, read: Read
) -> None:
    name = config.trace_topics[0]
    kafka.create_topic(name, partitions=PARTITIONS, config={"retention.ms": "-1"})
    for partition in range(PARTITIONS):
        # Conversations wander over the partitions, as they do where the producer has no key.
        numbers = [number for number in range(TRACES) if (number * 7919 // CONVERSATIONS) % PARTITIONS == partition]
        times = [START_MS + number * STEP_MS for number in numbers]
        produce(config, name, [str(number).encode() for number in numbers], partition, timestamps_ms=times)
    records = read_until(read(InMemoryOffsets()), TRACES)
    in_time = sorted(records, key=lambda record: record.timestamp_ms)
    one_after_another = sorted(records, key=lambda record: (record.partition, record.offset))
    assert len(records) == len(set(records)) == TRACES
    assert counted(records) == counted(in_time) < counted(one_after_another) / 2
    first = Counter(record.partition for record in records[:1000])
    assert len(first) == PARTITIONS
    assert min(first.values()) > 100


def test_partitions_that_are_held_back_again_and_again_are_read_to_their_end(
    kafka: Kafka, config: KafkaSettings, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.ingest.order.MAX_HELD_RECORDS", 200)
    monkeypatch.setitem(FETCH_OPTIONS, "max_partition_fetch_bytes", 250_000)  # some 400 records
    name = config.trace_topics[0]
    kafka.create_topic(name, partitions=PARTITIONS, config={"retention.ms": "-1"})
    for partition in range(PARTITIONS):
        times = [START_MS + (number * PARTITIONS + partition) * STEP_MS for number in range(3000)]
        produce(config, name, [b"x" * 500] * 3000, partition, timestamps_ms=times)
    source = read(InMemoryOffsets(), max_poll_records=200)
    started = time.monotonic()
    records = read_until(source, 3000 * PARTITIONS)
    assert time.monotonic() - started < 40
    assert [record.timestamp_ms for record in records] == sorted(record.timestamp_ms for record in records)
