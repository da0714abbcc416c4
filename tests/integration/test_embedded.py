"""The demo's embedded parts, and the fixtures that the other tests build on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import psycopg
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from monitor.demo.broker import EmbeddedBroker
from monitor.demo.postgres import EmbeddedPostgres, _import_pgserver
from monitor.errors import Unavailable
from monitor.ingest.kafka_rebalance import subscribe
from tests.real_kafka import Kafka, RealKafka


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(partitions=3) as running:
        yield running


def produce(broker: EmbeddedBroker | Kafka, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers, api_version=broker.api_version)
    for value in values:
        producer.send(topic, value, headers=[("format", b"native")])
    producer.flush()
    producer.close()


def consume(broker: EmbeddedBroker | Kafka, topic: str, count: int, group: str) -> list[bytes]:
    consumer = KafkaConsumer(
        bootstrap_servers=broker.bootstrap_servers,
        api_version=broker.api_version,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6000,  # the least a real broker takes; the embedded one rebalances for as long
        heartbeat_interval_ms=500,
        metadata_max_age_ms=1000,  # a broker just started may not name all of its topics yet
    )
    subscribe(consumer, [topic])
    values: list[bytes] = []
    try:
        for _ in range(100):
            values += [record.value for records in consumer.poll(200).values() for record in records]
            if len(values) >= count:
                consumer.commit()
                break
    finally:
        consumer.close()
    return values


def test_a_group_reads_from_the_embedded_broker_what_was_produced_and_goes_on_where_it_committed(
    broker: EmbeddedBroker,
) -> None:
    broker.create_topic("traces")
    first, second = [b"%d" % i for i in range(50)], [b"%d" % i for i in range(50, 60)]
    produce(broker, "traces", first)
    assert sorted(consume(broker, "traces", 50, "group")) == sorted(first)
    produce(broker, "traces", second)
    assert sorted(consume(broker, "traces", 10, "group")) == sorted(second)


def test_a_topic_of_the_embedded_broker_has_the_partitions_that_were_asked_for(broker: EmbeddedBroker) -> None:
    broker.create_topic("three")
    broker.create_topic("one", partitions=1)
    broker.create_topic("one", partitions=1)
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap_servers, api_version=broker.api_version)
    assert consumer.partitions_for_topic("three") == {0, 1, 2}
    assert consumer.partitions_for_topic("one") == {0}
    consumer.close()


def test_an_embedded_broker_that_was_left_says_so() -> None:
    broker = EmbeddedBroker()
    with broker:
        assert broker.bootstrap_servers
    with pytest.raises(Unavailable, match="not started"):
        broker.create_topic("late")
    broker.stop()
    assert not [thread for thread in threading.enumerate() if "rdk" in thread.name]


def test_the_embedded_postgres_keeps_its_data_and_its_url_over_a_restart(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    with server:
        url = server.url
        with psycopg.connect(url) as connection:
            connection.execute("create table kept (value int)")
    with pytest.raises(Unavailable, match="not started"):
        assert server.url
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    with server, psycopg.connect(url) as connection:
        assert connection.execute("select count(*) from kept").fetchone() == (0,)


def test_two_processes_may_make_the_system_user_of_the_embedded_postgres_in_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = _import_pgserver()
    get_server = library.get_server
    refused = [CalledProcessError(9, "useradd")]

    def get_second(*arguments: Any, **options: Any) -> Any:
        if refused:
            raise refused.pop()
        return get_server(*arguments, **options)

    monkeypatch.setattr(library, "get_server", get_second)
    with EmbeddedPostgres(tmp_path / "data") as server, psycopg.connect(server.url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_test_has_a_migrated_database_of_its_own(postgres_url: str, attempt: int) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("select count(*) from trace").fetchone() == (0,)
        assert connection.execute("select to_regclass('only_mine')").fetchone() == (None,), attempt
        connection.execute("create table only_mine ()")


@pytest.mark.kafka
def test_the_real_kafka_keeps_its_records_and_its_address_over_a_restart(kafka: RealKafka) -> None:
    kafka.create_topic("restart", partitions=2, config={"retention.ms": "3600000"})
    produce(kafka, "restart", [b"before"])
    address = kafka.bootstrap_servers
    kafka.stop()
    kafka.start()
    assert kafka.bootstrap_servers == address
    assert consume(kafka, "restart", 1, "restart") == [b"before"]


@pytest.mark.kafka
def test_the_real_kafka_states_the_version_that_was_asked_for(kafka: RealKafka) -> None:
    assert kafka.version == "Apache Kafka 4.1.1"
    kafka.create_topic("three", partitions=3)
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
    assert consumer.partitions_for_topic("three") == {0, 1, 2}
    assert consumer.beginning_offsets([TopicPartition("three", 2)]) == {TopicPartition("three", 2): 0}
    consumer.close()
