"""What a broker tells of itself and of the topics that the settings name; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, UnsupportedVersionError
from kafka.structs import TopicPartition

from monitor.errors import Unavailable
from monitor.ingest.kafka import REQUEST_SECONDS
from monitor.ingest.kafka_client import client_options, connect
from monitor.settings.kafka import KafkaSettings

TIMEOUT_MS = REQUEST_SECONDS * 1000


@dataclass(frozen=True, slots=True)
class PartitionState:
    partition: int
    first_offset: int  # of the oldest record that is kept
    end_offset: int
    next_offset: int | None  # that the monitor reads next; None: it never read one
    unread_age_seconds: float | None  # since that record was written; None where none is unread, or it is gone

    @property
    def lag(self) -> int:
        return 0 if self.next_offset is None else max(0, self.end_offset - max(self.next_offset, self.first_offset))

    @property
    def lost(self) -> int:
        """Return how many records went before they were read."""
        return 0 if self.next_offset is None else max(0, self.first_offset - self.next_offset)


@dataclass(frozen=True, slots=True)
class TopicState:
    name: str
    partitions: tuple[PartitionState, ...]  # none: the topic is not there
    retention_seconds: float | None  # None: for ever, or the broker does not tell
    may_write: bool | None  # None: the broker does not tell


@dataclass(frozen=True, slots=True)
class BrokerState:
    brokers: int
    version: str  # of the protocol that it speaks
    seconds: float  # until it answered
    topics: Mapping[str, TopicState]


def read_broker(
    settings: KafkaSettings, topics: Collection[str], offsets: Mapping[tuple[str, int], int]
) -> BrokerState:
    """Ask the cluster about *topics*; *offsets* are where the monitor reads on.

    Raises `Unavailable` or `InvalidSetting` that says why nobody answered, or let us in.
    """
    began = time.monotonic()
    options = client_options(settings) | {"request_timeout_ms": TIMEOUT_MS}
    del options["metrics_enabled"]  # an option of consumers and producers alone
    admin, connections = connect(KafkaAdminClient, options)
    with closing(admin):
        try:
            told = admin.describe_cluster()
            seconds = time.monotonic() - began
            known = _topics(admin, topics)
            version = ".".join(map(str, connections.broker_version or ()))
        except UnsupportedVersionError as error:
            raise Unavailable(f"kafka: the broker is too old to be asked about its topics: {error}") from error
        except KafkaError as error:
            raise connections.translated(error) from error
        retention = _retention(admin, [name for name in topics if name in known])
    partitions = _partitions(settings, {name: len(one["partitions"]) for name, one in known.items()}, offsets)
    states = {
        name: TopicState(name, partitions.get(name, ()), retention.get(name), _may_write(known.get(name)))
        for name in topics
    }
    return BrokerState(len(told["brokers"]), version, seconds, states)


def _topics(admin: Any, topics: Collection[str]) -> dict[str, Mapping[str, Any]]:
    there = set(admin.list_topics())  # asked by name, a broker may create what is not there
    wanted = sorted(there.intersection(topics))
    return {one["name"]: one for one in admin.describe_topics(wanted)} if wanted else {}


def _may_write(topic: Mapping[str, Any] | None) -> bool | None:
    allowed = None if topic is None else topic.get("authorized_operations", topic.get("topic_authorized_operations"))
    return "WRITE" in allowed or "ALL" in allowed if isinstance(allowed, list) else None


def _retention(admin: Any, topics: Collection[str]) -> dict[str, float]:
    """Return how long each topic keeps its records, in seconds; a broker may not tell, and some keep them for ever."""
    found: dict[str, float] = {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": None}) for name in topics]
    try:
        told = admin.describe_configs(resources, config_filter="all") if resources else {}
    except KafkaError:  # a right that a reader need not have
        return {}
    for of_kind in told.values():
        for name, values in of_kind.items():
            value = values.get("retention.ms")
            milliseconds = int(value["value"] if isinstance(value, Mapping) else value or -1)
            if milliseconds >= 0:
                found[name] = milliseconds / 1000
    return found


def _partitions(
    settings: KafkaSettings, counts: Mapping[str, int], offsets: Mapping[tuple[str, int], int]
) -> dict[str, tuple[PartitionState, ...]]:
    places = [TopicPartition(name, number) for name, count in counts.items() for number in range(count)]
    if not places:
        return {}
    options = {"group_id": None, "enable_auto_commit": False, "max_poll_records": 1}
    consumer, connections = connect(KafkaConsumer, client_options(settings) | options)
    found: dict[str, list[PartitionState]] = {}
    try:
        first = consumer.beginning_offsets(places, timeout_ms=TIMEOUT_MS)
        ends = consumer.end_offsets(places, timeout_ms=TIMEOUT_MS)
        for place in places:
            at = offsets.get((place.topic, place.partition))
            unread = at is not None and first[place] <= at < ends[place]
            age = _age(consumer, place, at) if unread and at is not None else None
            state = PartitionState(place.partition, first[place], ends[place], at, age)
            found.setdefault(place.topic, []).append(state)
    except KafkaError as error:
        raise connections.translated(error) from error
    finally:
        consumer.close(autocommit=False)
    return {name: tuple(states) for name, states in found.items()}


def _age(consumer: Any, place: TopicPartition, offset: int) -> float | None:
    consumer.assign([place])
    consumer.seek(place, offset)
    for records in consumer.poll(timeout_ms=TIMEOUT_MS // 3, max_records=1).values():
        for record in records:
            return max(0.0, time.time() - float(record.timestamp) / 1000)
    return None
