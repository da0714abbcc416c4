"""A record as it came from a topic, whatever it holds."""

from __future__ import annotations

from msgspec import Struct

TopicPartition = tuple[str, int]
Position = tuple[str, int, int]  # topic, partition, offset


class Record(Struct, frozen=True, gc=False):  # made once a record: a dataclass costs ten times as much
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int = -1  # since the epoch, as Kafka keeps it; -1 where it does not
    leader_epoch: int = -1  # of the batch it was written in; -1 where the broker does not tell

    @property
    def topic_partition(self) -> TopicPartition:
        return self.topic, self.partition


def size_of(record: Record) -> int:
    """Return the bytes of its key and value."""
    return len(record.value or b"") + len(record.key or b"")
