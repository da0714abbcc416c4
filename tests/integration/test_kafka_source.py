"""The consumer and the dead letters on a broker: the real Apache Kafka, or the embedded one where that is missing."""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.cluster import ClusterMetadata
from kafka.structs import TopicPartition as KafkaPartition
from msgspec import structs

from monitor.errors import InvalidSetting, InvalidTrace, Unavailable
from monitor.ingest.dead_letter import TRUNCATED_BYTES, KafkaDeadLetters
from monitor.ingest.kafka import KafkaSource
from monitor.ingest.kafka_client import client_options, connect
from monitor.ingest.offset import StartOffset, StoredOffset, plan_start
from monitor.ingest.record import Record, TopicPartition
from monitor.settings.kafka import KafkaSettings
from tests.integration.kafka_reading import (
    WAIT_SECONDS,
    InMemoryOffsets,
    Read,
    offsets,
    patiently,
    produce,
    read_until,
    wait_until,
)
from tests.real_kafka import Kafka, RealKafka


def test_records_come_whole_and_in_order_from_the_log_s_beginning(
    config: KafkaSettings, topic: str, read: Read
) -> None:
    produce(config, topic, [b"0", None, b"", b"3"])
    listener = InMemoryOffsets()
    records = read_until(read(listener), 4)
    assert [(record.offset, record.value) for record in records] == [(0, b"0"), (1, None), (2, b""), (3, b"3")]
    assert (records[0].timestamp_ms > 0, records[0].leader_epoch >= -1) == (True, True)
    assert structs.replace(records[0], timestamp_ms=-1, leader_epoch=-1) == Record(
        topic, 0, 0, b"k", b"0", (("format", b"native"),)
    )
    assert listener.places == {(topic, 0): (0, None)}


def test_reading_starts_at_the_stored_offset_whatever_was_committed(
    config: KafkaSettings, topic: str, read: Read
) -> None:
    produce(config, topic, [b"0", b"1", b"2", b"3"])
    first = read(InMemoryOffsets())
    read_until(first, 4)
    first.commit({(topic, 0): 4})
    first.close()
    listener = InMemoryOffsets({(topic, 0): 2})
    assert offsets(read_until(read(listener), 2)) == [2, 3]
    assert listener.places == {(topic, 0): (2, 2)}


def test_a_partition_without_a_stored_offset_may_start_at_its_end(
    config: KafkaSettings, topic: str, read: Read
) -> None:
    produce(config, topic, [b"0", b"1"])
    listener = InMemoryOffsets()
    source = read(listener, auto_offset_reset="latest")
    wait_until(lambda: bool(listener.starts), lambda: source.poll(0.1))
    assert listener.places == {(topic, 0): (2, None)}
    produce(config, topic, [b"2"])
    assert offsets(read_until(source, 1)) == [2]


def test_a_paused_source_returns_nothing_and_a_resumed_one_everything(
    config: KafkaSettings, topic: str, read: Read
) -> None:
    listener = InMemoryOffsets()
    source = read(listener)
    source.pause()
    produce(config, topic, [b"0", b"1"])
    wait_until(lambda: bool(listener.starts), lambda: source.poll(0.1))
    assert [record for _ in range(5) for record in source.poll(0.1)] == []
    source.resume()
    assert offsets(read_until(source, 2)) == [0, 1]


def test_seek_and_restart_read_again(config: KafkaSettings, topic: str, read: Read) -> None:
    produce(config, topic, [b"0", b"1", b"2"])
    listener = InMemoryOffsets()
    source = read(listener)
    read_until(source, 3)
    source.seek({(topic, 0): 2, ("elsewhere", 7): 1})
    assert offsets(read_until(source, 1)) == [2]
    listener.stored = {(topic, 0): 1}
    source.restart()
    assert offsets(read_until(source, 2)) == [1, 2]


def test_lag_is_what_is_left_to_read(config: KafkaSettings, topic: str, read: Read) -> None:
    produce(config, topic, [b"0", b"1", b"2"])
    source = read(InMemoryOffsets())
    assert source.lag() == {}
    read_until(source, 3)
    assert source.lag() == {(topic, 0): 0}
    source.seek({(topic, 0): 1})
    assert source.lag() == {(topic, 0): 2}


def test_commits_are_there_for_lag_tools(config: KafkaSettings, topic: str, read: Read) -> None:
    produce(config, topic, [b"0", b"1"])
    source = read(InMemoryOffsets())
    read_until(source, 2)
    source.commit({(topic, 0): 2})
    source.poll(0.5)
    source.close()
    observer = KafkaConsumer(group_id=config.group_id, **client_options(config))
    assert observer.committed(KafkaPartition(topic, 0)) == 2
    observer.close()


def test_a_stored_offset_beyond_the_log_starts_at_its_beginning(config: KafkaSettings, topic: str, read: Read) -> None:
    produce(config, topic, [b"0", b"1"])
    listener = InMemoryOffsets({(topic, 0): 50})
    assert offsets(read_until(read(listener), 2)) == [0, 1]
    assert listener.places == {(topic, 0): (0, 50)}


def test_a_member_that_is_slow_to_subscribe_has_its_partitions_with_its_first_join(
    config: KafkaSettings, topic: str, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribed, answered = KafkaConsumer.subscribe, ClusterMetadata.update_metadata
    asking, late = threading.Event(), threading.Event()

    def subscribe_late(consumer: KafkaConsumer, **what: Any) -> None:
        """Subscribe while a question from before is on its way, which names no topic."""
        asking.set()
        consumer._cluster.request_update()
        wait_until(lambda: consumer._cluster.metadata_refresh_in_progress, lambda: time.sleep(0.001))
        subscribed(consumer, **what)
        late.set()

    def answer_late(cluster: ClusterMetadata, metadata: Any) -> None:
        assert not asking.is_set() or late.wait(WAIT_SECONDS)
        answered(cluster, metadata)

    produce(config, topic, [b"0"])
    monkeypatch.setattr(KafkaConsumer, "subscribe", subscribe_late)
    monkeypatch.setattr(ClusterMetadata, "update_metadata", answer_late)
    source = read(InMemoryOffsets())
    assert offsets(read_until(source, 1)) == [0]
    assert source._consumer._coordinator._generation.generation_id == 1


@pytest.mark.kafka
@pytest.mark.parametrize("milliseconds", [3, 5, 8, 12])
def test_joins_that_outlast_a_poll_come_to_their_end(
    config: KafkaSettings, topic: str, read: Read, milliseconds: int
) -> None:
    produce(config, topic, [b"0"])
    source = read(InMemoryOffsets())
    records: list[Record] = []
    wait_until(lambda: bool(records), lambda: records.extend(source.poll(milliseconds / 1000)))
    assert offsets(records) == [0]


class Undecodable(str):
    """A header's name that goes over the wire as bytes that are no text."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return b"\xff\xfe"


def test_a_record_the_client_cannot_take_apart_is_passed_with_a_stand_in(
    config: KafkaSettings, topic: str, read: Read
) -> None:
    produce(config, topic, [b"0"])
    produce(config, topic, [b"1"], header=Undecodable("x"))
    produce(config, topic, [b"2"])
    source = read(InMemoryOffsets())
    records: list[Record] = []
    wait_until(lambda: len(records) == 3, lambda: records.extend(patiently(source)))
    assert [(record.offset, record.value) for record in records] == [(0, b"0"), (1, None), (2, b"2")]
    assert [name for name, _ in records[1].headers] == ["unreadable"]


@pytest.mark.kafka
def test_a_gap_left_by_retention_is_reported_at_the_start_and_while_reading(
    config: KafkaSettings, topic: str, read: Read
) -> None:
    produce(config, topic, [b"x"] * 10)
    _delete_before(config, topic, 4)
    listener = InMemoryOffsets({(topic, 0): 1})
    source = read(listener)
    assert offsets(read_until(source, 6)) == [4, 5, 6, 7, 8, 9]
    assert listener.places == {(topic, 0): (4, 1)}
    assert listener.starts[topic, 0].lost == 3
    source.pause()
    produce(config, topic, [b"y"] * 5)
    _delete_before(config, topic, 13)
    source.resume()
    assert offsets(read_until(source, 2))[-2:] == [13, 14]
    assert listener.places == {(topic, 0): (13, 10)}


@pytest.mark.kafka
def test_a_second_member_takes_over_a_share_where_the_first_stored_it(
    kafka: Kafka, config: KafkaSettings, read: Read
) -> None:
    name = f"shared-{uuid4().hex}"
    kafka.create_topic(name, partitions=2)
    for partition in (0, 1):
        produce(config, name, [b"0", b"1"], partition)
    listeners = InMemoryOffsets(), InMemoryOffsets()
    first = read(listeners[0], [name])
    assert [(record.partition, record.offset) for record in sorted(read_until(first, 4), key=_place)] == [
        (0, 0), (0, 1), (1, 0), (1, 1),
    ]  # fmt: skip
    listeners[0].stored = listeners[1].stored = {(name, 0): 2, (name, 1): 2}
    second = read(listeners[1], [name])
    wait_until(lambda: bool(listeners[1].starts), lambda: (second.poll(0.1), first.poll(0.1)))
    assert sorted(listeners[0].revoked) == [(name, 0), (name, 1)]
    assert list(listeners[1].places.values()) == [(2, 2)]


def test_a_listener_s_exception_comes_out_of_the_call_it_happened_in(
    config: KafkaSettings, topic: str, read: Read
) -> None:
    listener = InMemoryOffsets()
    source = read(listener)
    wait_until(lambda: bool(listener.starts), lambda: source.poll(0.1))
    listener.refusal = Unavailable("the checkpoint is away")
    with pytest.raises(Unavailable, match="the checkpoint is away"):
        source.close()


def test_a_broker_that_is_away_is_unavailable_and_leaves_no_thread_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("monitor.ingest.kafka_client.BOOTSTRAP_SECONDS", 0.5)
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:9")
    before = threading.active_count()
    with pytest.raises(Unavailable):
        KafkaSource(nowhere, ["traces"], InMemoryOffsets())
    letters = KafkaDeadLetters(nowhere)
    letters.put(Record("traces", 0, 0, None, b"{"), InvalidTrace("not_json", "truncated"))
    for _ in range(2):  # the letter is kept, not forgotten with the first failure
        with pytest.raises(Unavailable):
            letters.flush()
    wait_until(lambda: threading.active_count() <= before, lambda: time.sleep(0.05))


@pytest.mark.kafka
def test_a_broker_that_goes_away_is_noticed_and_reading_goes_on_when_it_is_back(
    kafka: Kafka, config: KafkaSettings, topic: str, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.ingest.kafka.QUIET_SECONDS", 0.5)
    monkeypatch.setattr("monitor.ingest.kafka.REQUEST_SECONDS", 1.0)
    assert isinstance(kafka, RealKafka)
    produce(config, topic, [b"0"])
    source = read(InMemoryOffsets())
    read_until(source, 1)
    kafka.stop()
    try:
        with pytest.raises(Unavailable):
            wait_until(lambda: False, lambda: source.poll(0.2))
    finally:
        kafka.start()
    produce(config, topic, [b"1"])
    records: list[Record] = []
    wait_until(lambda: bool(records), lambda: records.extend(patiently(source)))
    assert [record.value for record in records][-1] == b"1"


def test_a_dead_letter_holds_the_record_and_the_reason(config: KafkaSettings, kafka: Kafka, read: Read) -> None:
    kafka.create_topic(config.dead_letter_topic)
    letters = KafkaDeadLetters(config)
    record = Record("traces", 3, 17, b"key", b"\xff{", (("trace", b"a"), ("empty", None)))
    letters.put(record, InvalidTrace("not_utf8", "value: invalid start byte at byte 0; wanted UTF-8 \ud800"))
    letters.put(Record("traces", 3, 18, None, None), InvalidTrace("empty_record", "value"))
    letters.flush()
    letters.close()
    first, second = read_until(read(InMemoryOffsets(), [config.dead_letter_topic]), 2)
    assert (first.key, first.value) == (b"key", b"\xff{")
    assert dict(first.headers) == {
        "trace": b"a", "empty": b"", "reason": b"not_utf8", "source_topic": b"traces", "source_partition": b"3",
        "source_offset": b"17", "source_timestamp": b"-1",
        "detail": b"value: invalid start byte at byte 0; wanted UTF-8 ?",
    }  # fmt: skip
    assert (second.key, second.value) == (None, b"")


@pytest.mark.parametrize(
    "refused_by",
    [pytest.param("the topic", marks=pytest.mark.kafka), "the producer"],
)
def test_a_dead_letter_that_is_refused_as_too_large_is_cut_and_the_others_are_not(
    config: KafkaSettings, kafka: Kafka, read: Read, refused_by: str
) -> None:
    by_topic = refused_by == "the topic"
    kafka.create_topic(config.dead_letter_topic, config={"max.message.bytes": "300000"} if by_topic else None)
    letters = KafkaDeadLetters(config) if by_topic else KafkaDeadLetters(config, max_request_bytes=300_000)
    for offset, size in enumerate((10, 2_000_000, 20)):
        letters.put(Record("traces", 0, offset, b"k", b"x" * size), InvalidTrace("response_too_long", "response"))
    headers = (("huge", b"h" * 290_000),)
    letters.put(Record("traces", 0, 3, b"k" * 100_000, b"y", headers), InvalidTrace("not_json", "value"))
    letters.flush()
    letters.close()
    found = {
        dict(r.headers)["source_offset"]: r for r in read_until(read(InMemoryOffsets(), [config.dead_letter_topic]), 4)
    }
    sizes = {offset: len(record.value or b"") for offset, record in found.items()}
    assert sizes == {b"0": 10, b"1": TRUNCATED_BYTES, b"2": 20, b"3": 1}
    cut = {offset: dict(record.headers).get("truncated_from") for offset, record in found.items()}
    assert cut == {b"0": None, b"1": b"2000000", b"2": None, b"3": b"1"}


def test_a_record_put_again_is_written_once_unless_its_topic_was_replaced(
    config: KafkaSettings, kafka: Kafka, read: Read
) -> None:
    kafka.create_topic(config.dead_letter_topic)
    letters = KafkaDeadLetters(config)
    for value in (b"old", b"old", b"new"):
        letters.put(Record("traces", 0, 5, None, value), InvalidTrace("not_json", "value"))
        letters.put(Record("traces", 0, 5, None, value), InvalidTrace("not_json", "value"))
        letters.flush()
    letters.close()
    source = read(InMemoryOffsets(), [config.dead_letter_topic])
    assert [record.value for record in (*read_until(source, 2), *source.poll(0.5))] == [b"old", b"new"]


@pytest.mark.kafka
def test_a_dead_letter_topic_that_is_missing_is_named_and_the_letters_wait_for_it(
    config: KafkaSettings, kafka: Kafka, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.ingest.dead_letter.REQUEST_SECONDS", 1.0)
    letters = KafkaDeadLetters(config)
    letters._producer, letters._connections = connect(KafkaProducer, letters._options)
    letters._producer._metadata.config["allow_auto_create_topics"] = False  # as on a broker that creates none itself
    letters.put(Record("traces", 0, 0, None, b"x"), InvalidTrace("not_json", "value"))
    named = rf"dead-letter topic '{config.dead_letter_topic}' \(kafka.dead_letter_topic\) is not there"
    with pytest.raises(Unavailable, match=named) as refused:
        letters.flush()
    assert refused.value.plain == f"the dead-letter topic {config.dead_letter_topic} is missing"  # on /readyz
    kafka.create_topic(config.dead_letter_topic)
    letters.flush()
    letters.close()
    assert [record.value for record in read_until(read(InMemoryOffsets(), [config.dead_letter_topic]), 1)] == [b"x"]


def test_a_full_buffer_of_dead_letters_flushes_itself(
    config: KafkaSettings, kafka: Kafka, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.ingest.dead_letter.MAX_BUFFERED_LETTERS", 3)
    kafka.create_topic(config.dead_letter_topic)
    letters = KafkaDeadLetters(config)
    for offset in range(4):
        letters.put(Record("traces", 0, offset, None, b"x"), InvalidTrace("not_json", "value"))
    letters.discard()
    letters.flush()
    letters.close()
    source = read(InMemoryOffsets(), [config.dead_letter_topic])
    assert len(read_until(source, 3)) + len(source.poll(0.5)) == 3


def test_sasl_without_a_mechanism_is_a_wrong_setting() -> None:
    with pytest.raises(InvalidSetting, match=r"kafka\.sasl_mechanism = None"):
        client_options(KafkaSettings(security_protocol="SASL_SSL"))


@pytest.mark.parametrize(
    ("stored", "reset", "start"),
    [
        pytest.param(None, "earliest", StartOffset(10, None), id="nothing stored, from the beginning"),
        pytest.param(None, "latest", StartOffset(20, None), id="nothing stored, from the end"),
        pytest.param(15, "latest", StartOffset(15, 15), id="stored and there"),
        pytest.param(20, "latest", StartOffset(20, 20), id="stored at the end"),
        pytest.param(3, "latest", StartOffset(10, 3), id="stored and deleted since"),
        pytest.param(25, "earliest", StartOffset(25, 25), id="beyond an end that may be out of date"),
    ],
)
def test_the_start_follows_from_what_is_stored(stored: int | None, reset: str, start: StartOffset) -> None:
    given = None if stored is None else StoredOffset(stored)
    assert plan_start(given, first=10, end=20, reset=reset) == start  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stored", "start"),
    [
        pytest.param(StoredOffset(15, "new", 3), StartOffset(15, 15, "new", 3), id="the same log"),
        pytest.param(StoredOffset(15, "old", 3), StartOffset(10, 15, "new", replaced=True), id="another log"),
        pytest.param(StoredOffset(15), StartOffset(15, 15, "new"), id="a row of old takes the log there is"),
        pytest.param(StoredOffset(3, "new", 3), StartOffset(10, 3, "new"), id="the same log, the place deleted"),
    ],
)
def test_another_topic_id_is_another_log(stored: StoredOffset, start: StartOffset) -> None:
    assert plan_start(stored, first=10, end=20, reset="latest", topic_id="new") == start
    assert start.lost == (7 if stored.next_offset == 3 else 0)


def _delete_before(config: KafkaSettings, topic: str, offset: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=config.bootstrap_servers)
    admin.delete_records({KafkaPartition(topic, 0): offset})
    admin.close()


def _place(record: Record) -> TopicPartition:
    return record.topic_partition
