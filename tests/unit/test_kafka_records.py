"""Records are read out of a broker's bytes as the client itself would read them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords
from kafka.structs import TopicPartition

from monitor.ingest.kafka_records import PartitionRecords
from monitor.ingest.record import Record

PARTITION = TopicPartition("traces", 3)
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
READ_COMMITTED = 1
Item = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]


def items(count: int, seed: int = 0) -> list[Item]:
    random = Random(seed)

    def some(longest: int) -> bytes | None:
        return None if random.random() < 0.2 else random.randbytes(random.choice((0, 1, 63, 64, 200, longest)))

    return [
        (1_700_000_000_000 + random.randrange(-5000, 9_000_000), some(300), some(20_000), [("h-ü", some(9))] * (n % 3))
        for n in range(count)
    ]


def batch(
    held: Sequence[Item],
    *,
    first: int = 0,
    codec: int = NONE,
    producer: int = -1,
    appended: int | None = None,
    control: bool = False,
) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, producer >= 0, producer, 0, 0 if producer >= 0 else -1, 1 << 24)
    for number, (at_ms, key, value, headers) in enumerate(held):
        assert builder.append(number, at_ms, key, value, headers) is not None
    built = bytearray(builder.build())
    if appended is not None:
        built[21:23] = (int.from_bytes(built[21:23]) | 8).to_bytes(2)
        built[35:43] = appended.to_bytes(8)
    built[22] |= 0x20 * control
    built[0:8] = first.to_bytes(8)
    return bytes(built)


def old_batch(held: Sequence[Item], magic: int) -> bytes:
    builder = LegacyRecordBatchBuilder(magic, NONE, 1 << 24)
    for number, (at_ms, key, value, _) in enumerate(held):
        builder.append(number, timestamp=at_ms, key=key, value=value)
    return bytes(builder.build())


def ours(content: bytes, *, start: int = 0, **options: Any) -> PartitionRecords:
    return PartitionRecords(start, PARTITION, MemoryRecords(content), isolation_level=READ_COMMITTED, **options)


def taken(parts: PartitionRecords) -> list[Record]:
    return [record for _ in iter(parts.__bool__, False) for record in parts.take(7)]


def as_the_client(content: bytes, *, start: int = 0, **options: Any) -> tuple[list[Record], int]:
    parts = Fetcher.PartitionRecords(
        start, PARTITION, MemoryRecords(content), isolation_level=READ_COMMITTED, **options
    )
    found = parts.take()
    read = [
        Record(
            item.topic,
            item.partition,
            item.offset,
            item.key,
            item.value,
            tuple(item.headers),
            -1 if item.timestamp is None else item.timestamp,
            item.leader_epoch,
        )
        for item in found
    ]
    return read, parts.next_fetch_offset


class Aborted:
    """A transaction as a broker lists it among those that were aborted."""

    def __init__(self, producer_id: int, first_offset: int) -> None:
        self.producer_id, self.first_offset = producer_id, first_offset


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (batch(items(40)), 0),
        (batch(items(40), first=100) + batch(items(1, seed=1), first=140), 117),
        (batch(items(20), codec=GZIP), 0),
        (batch(items(20), codec=SNAPPY), 0),
        (batch(items(20), codec=LZ4), 0),
        (batch(items(20), codec=ZSTD), 0),
        (old_batch(items(5), 0), 0),
        (old_batch(items(5), 1), 0),
        (batch(items(30))[:-3], 0),
        (b"", 0),
    ],
    ids=["many", "from the middle", "gzip", "snappy", "lz4", "zstd", "format 0", "format 1", "cut short", "nothing"],
)
def test_what_is_read_is_what_the_client_reads(content: bytes, start: int) -> None:
    wanted, next_offset = as_the_client(content, start=start)
    parts = ours(content, start=start)
    assert taken(parts) == wanted
    assert parts.next_fetch_offset == next_offset
    assert len(wanted) > 0 or not content or content == batch(items(30))[:-3]


def test_a_topic_that_keeps_the_time_of_arrival_tells_that_one() -> None:
    content = batch(items(3), appended=1_800_000_000_000)
    assert {record.timestamp_ms for record in taken(ours(content, check_crcs=False))} == {1_800_000_000_000}
    assert taken(ours(content, check_crcs=False)) == as_the_client(content, check_crcs=False)[0]


def test_what_a_transaction_took_back_is_passed_over() -> None:
    content = batch(items(5), producer=7) + batch(items(5, seed=1), first=5) + batch(items(5, seed=2), first=10)
    aborted = [Aborted(producer_id=7, first_offset=0)]
    parts = ours(content, aborted_transactions=aborted)
    assert [record.offset for record in taken(parts)] == list(range(5, 15))
    assert (taken(ours(content, aborted_transactions=aborted)), 15) == as_the_client(
        content, aborted_transactions=aborted
    )


@pytest.mark.parametrize("kind", [0, 1], ids=["aborted", "committed"])
def test_the_end_of_a_transaction_is_no_record_and_its_producer_may_begin_another(kind: int) -> None:
    marker: Item = (1000, bytes([0, 0, 0, kind]), bytes(6), [])
    content = batch(items(2), producer=7) + batch([marker], first=2, producer=7, control=True)
    content += batch(items(2, seed=1), first=3, producer=7)
    options: dict[str, Any] = {"aborted_transactions": [Aborted(7, 0)][kind:], "check_crcs": False}
    parts = ours(content, **options)
    assert [record.offset for record in taken(parts)] == ([3, 4] if kind == 0 else [0, 1, 3, 4])
    assert (taken(ours(content, **options)), parts.next_fetch_offset) == as_the_client(content, **options)


@pytest.mark.parametrize("place", [62, 63, 70, -1], ids=["a size", "attributes", "a field", "the end"])
def test_a_broken_byte_is_a_corrupt_record_each_time_it_is_met(place: int) -> None:
    content = bytearray(batch(items(3)))
    content[place] ^= 0xFF
    parts = ours(bytes(content))
    for _ in range(2):
        with pytest.raises(CorruptRecordError, match="checksum of the batch at 0"):
            parts.take()


def test_records_before_a_broken_one_are_given_out_first() -> None:
    content = bytearray(batch([(1000, None, b"first", []), (1000, None, b"second", [])]))
    content[content.index(b"second") - 1] += 2  # it says that it is longer than it is
    parts = ours(bytes(content), check_crcs=False)
    assert [record.value for record in parts.take()] == [b"first"]
    with pytest.raises(CorruptRecordError):
        parts.take()
