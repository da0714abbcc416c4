"""What a test has for itself: topics and readers that are closed after it, and the parts that answer an alarm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from monitor.ingest.kafka import KafkaSource
from monitor.postgres.engine import create_engine_for
from monitor.settings.kafka import KafkaSettings
from tests.integration.job_parts import Parts
from tests.integration.kafka_reading import InMemoryOffsets, Read
from tests.real_kafka import Kafka


@pytest.fixture
def config(kafka: Kafka) -> KafkaSettings:
    name = uuid4().hex
    return KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        api_version=kafka.api_version,
        group_id=f"group-{name}",
        trace_topics=(f"traces-{name}",),
        dead_letter_topic=f"dead-{name}",
    )


@pytest.fixture
def topic(kafka: Kafka, config: KafkaSettings) -> str:
    kafka.create_topic(config.trace_topics[0], partitions=1)
    return config.trace_topics[0]


@pytest.fixture
def read(config: KafkaSettings) -> Iterator[Read]:
    """Open sources that are closed after the test."""
    opened: list[KafkaSource] = []

    def open_source(
        listener: InMemoryOffsets, topics: Sequence[str] = config.trace_topics, **changes: str
    ) -> KafkaSource:
        opened.append(KafkaSource(config.model_copy(update=changes), topics, listener))
        return opened[-1]

    yield open_source
    for source in opened:
        source.close()


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url, pool_size=4)
    yield engine
    engine.dispose()


@pytest.fixture
def parts(engine: Engine, tmp_path: Path) -> Iterator[Parts]:
    parts = Parts(engine, tmp_path)
    yield parts
    parts.end_runs()
