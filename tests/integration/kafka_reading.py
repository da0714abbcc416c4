"""A reader of a topic whose offsets are kept in memory, and the records to read."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer

from monitor.errors import Unavailable
from monitor.ingest.kafka import KafkaSource
from monitor.ingest.kafka_client import client_options
from monitor.ingest.offset import StartOffset, StoredOffset
from monitor.ingest.record import Record, TopicPartition
from monitor.settings.kafka import KafkaSettings
from tests.real_kafka import Kafka

WAIT_SECONDS = 60.0  # the embedded broker forgets a member after 30

Read = Callable[..., KafkaSource]


@dataclass
class InMemoryOffsets:
    """A listener that keeps the stored offsets, as the checkpoint does."""

    stored: Mapping[TopicPartition, int | StoredOffset] = field(default_factory=dict)
    starts: dict[TopicPartition, StartOffset] = field(default_factory=dict)
    found: dict[TopicPartition, StartOffset] = field(default_factory=dict)
    revoked: list[TopicPartition] = field(default_factory=list)
    refusal: Exception | None = None

    @property
    def places(self) -> dict[TopicPartition, tuple[int, int | None]]:
        """Where each partition was begun, and what was stored."""
        return {partition: (start.offset, start.stored) for partition, start in self.starts.items()}

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, StoredOffset]:
        return {p: StoredOffset(o) if isinstance(o, int) else o for p, o in self.stored.items()}

    def on_topics_found(self, starts: Mapping[TopicPartition, StartOffset]) -> None:
        self.found.update(starts)

    def on_started(self, starts: Mapping[TopicPartition, StartOffset]) -> None:
        self.starts.update(starts)

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.revoked.extend(partitions)


def produce(
    config: KafkaSettings,
    topic: str,
    values: Sequence[bytes | None],
    partition: int = 0,
    *,
    header: str = "format",
    timestamps_ms: Sequence[int] = (),
    **options: Any,
) -> None:
    producer = KafkaProducer(**client_options(config), **options)
    for number, value in enumerate(values):
        at = timestamps_ms[number] if timestamps_ms else None
        headers = [(header, b"native")]
        producer.send(topic, key=b"k", value=value, partition=partition, headers=headers, timestamp_ms=at)
    producer.flush()
    producer.close()


def read_until(source: KafkaSource, count: int) -> list[Record]:
    records: list[Record] = []
    wait_until(lambda: len(records) >= count, lambda: records.extend(source.poll(0.2)))
    return records


def wait_until(done: Callable[[], bool], step: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not done():
        assert time.monotonic() < deadline, "it did not come"
        step()


def offsets(records: Sequence[Record]) -> list[int]:
    return [record.offset for record in records]


def patiently(source: KafkaSource) -> list[Record]:
    try:
        return source.poll(0.2)
    except Unavailable:
        return []


def recreate(kafka: Kafka, config: KafkaSettings, topic: str, values: Sequence[bytes | None]) -> None:
    """Delete *topic*, create it again and write *values*."""
    admin = KafkaAdminClient(bootstrap_servers=config.bootstrap_servers)
    admin.delete_topics([topic])
    wait_until(lambda: topic not in admin.list_topics(), lambda: time.sleep(0.1))
    admin.close()
    kafka.create_topic(topic)
    produce(config, topic, values)
