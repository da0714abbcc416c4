"""Announcements on a Kafka topic, for whoever serves the policies."""

from __future__ import annotations

from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from monitor.errors import InvalidSetting, Unavailable
from monitor.ingest.kafka_client import client_options, connect
from monitor.settings.kafka import KafkaSettings

REQUEST_SECONDS = 10.0
DELIVERY_SECONDS = 20.0


class KafkaAnnouncements:
    """Writes announcements in order, each durable on all replicas in sync; a connection is made with the first."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._topic = settings.promotion_topic
        self._options: dict[str, Any] = client_options(settings) | {
            "acks": "all",
            "enable_idempotence": False,  # its id tells an announcement that stands twice; one permission less
            "request_timeout_ms": round(REQUEST_SECONDS * 1000),
            "delivery_timeout_ms": round(DELIVERY_SECONDS * 1000),
            "max_block_ms": round(REQUEST_SECONDS * 1000),
        }
        self._producer: Any = None  # a KafkaProducer, from the first announcement on

    def write(self, key: bytes, body: bytes, headers: dict[str, str]) -> str | None:
        """Return None where the record is durable, else why it is not known to be."""
        told = [(name, value.encode()) for name, value in headers.items()]
        try:
            if self._producer is None:
                self._producer, _ = connect(KafkaProducer, self._options)
            self._producer.send(self._topic, body, key, headers=told).get(DELIVERY_SECONDS)
        except (KafkaError, Unavailable, InvalidSetting) as error:
            return f"the topic {self._topic!r} (kafka.promotion_topic): {type(error).__name__}: {error}"
        return None

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=1.0)
            self._producer = None
