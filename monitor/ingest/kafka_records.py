"""Records out of what a broker sent: as the client reads them at a third of its cost, and what cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, KafkaError
from kafka.record.util import decode_varint

from monitor.ingest.record import Record

CURRENT_FORMAT = 2  # of batches; brokers since 0.11 write no other


class PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python is untyped
    """One fetch's records of a partition, as ours; a failure comes again with every try.

    The client's own are empty after a failure but not at their end, and one poll
    asks them for more without end. What no codec can unpack is a `CorruptRecordError`.
    """

    _failure: KafkaError | None = None

    def take(self, n: int | None = None) -> list[Record]:
        if self._failure is not None:
            raise self._failure
        try:
            taken: list[Record] = super().take(n)
        except KafkaError as failure:
            self._failure = failure
            raise
        except Exception as failure:
            self._failure = CorruptRecordError(f"{type(failure).__name__}: {failure}")
            raise self._failure from failure
        return taken

    def _unpack_records(self, tp: Any, records: Any, *_deserializers: Any) -> Iterator[Record]:
        """Yield what *records* hold without what was aborted, as the client does, which describes each at length."""
        last = None
        while (batch := records.next_batch()) is not None:
            last = batch
            if self.check_crcs and not batch.validate_crc():
                raise CorruptRecordError(f"{tuple(tp)}: the checksum of the batch at {batch.base_offset} is wrong")
            if batch.magic != CURRENT_FORMAT:
                yield from self.read_old_batch(tp, batch)
                continue
            self.leader_epoch = batch.leader_epoch
            if self._is_passed_over(batch):
                self.next_fetch_offset = batch.next_offset
            else:
                yield from self.read_batch(tp, batch)
        if last is not None and last.magic == CURRENT_FORMAT:  # its last records may have been compacted away
            self.next_fetch_offset = last.next_offset
        self.drain()

    def _is_passed_over(self, batch: Any) -> bool:
        """Say whether *batch* is the end of a transaction, or of one that was aborted."""
        if batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)

    def read_batch(self, tp: Any, batch: Any) -> Iterator[Record]:
        topic, partition, epoch, first_offset = tp.topic, tp.partition, batch.leader_epoch, batch.base_offset
        first_ms, appended_ms = batch.first_timestamp, batch.max_timestamp if batch.timestamp_type else None
        iter(batch)  # decompresses it
        buffer, pos = bytes(batch._buffer), batch._pos
        for _ in range(batch.records_count):
            try:
                length, start = decode_varint(buffer, pos)
                delta_ms, pos = decode_varint(buffer, start + 1)  # behind attributes that mean nothing
                delta, pos = decode_varint(buffer, pos)
                size, pos = decode_varint(buffer, pos)
                key = None if size < 0 else buffer[pos : (pos := pos + size)]
                size, pos = decode_varint(buffer, pos)
                value = None if size < 0 else buffer[pos : (pos := pos + size)]
                headers, pos = ((), pos + 1) if not buffer[pos] else read_headers(buffer, pos)
            except (ValueError, IndexError) as error:
                raise CorruptRecordError(f"{tuple(tp)}: no record in the batch at {first_offset}: {error!r}") from error
            if pos - start != length:
                raise CorruptRecordError(f"{tuple(tp)}: a record of the batch at {first_offset} is of another size")
            offset = first_offset + delta
            self.next_fetch_offset = offset + 1
            at_ms = first_ms + delta_ms if appended_ms is None else appended_ms
            yield Record(topic, partition, offset, key, value, headers, at_ms, epoch)
        if pos != len(buffer):
            raise CorruptRecordError(f"{tuple(tp)}: {len(buffer) - pos} bytes too many in the batch at {first_offset}")

    def read_old_batch(self, tp: Any, batch: Any) -> Iterator[Record]:
        for item in batch:
            if self.check_crcs and not item.validate_crc():
                raise CorruptRecordError(f"{tuple(tp)}: the checksum of the record at {item.offset} is wrong")
            self.next_fetch_offset = item.offset + 1
            at_ms = -1 if item.timestamp is None else item.timestamp
            headers = tuple(item.headers)
            yield Record(tp.topic, tp.partition, item.offset, item.key, item.value, headers, at_ms, self.leader_epoch)


def read_headers(buffer: bytes, pos: int) -> tuple[tuple[tuple[str, bytes | None], ...], int]:
    count, pos = decode_varint(buffer, pos)
    if count < 0:
        raise ValueError(f"{count} headers")
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        size, pos = decode_varint(buffer, pos)
        if size < 0:
            raise ValueError(f"a header's name of {size} bytes")
        name = buffer[pos : (pos := pos + size)].decode()
        size, pos = decode_varint(buffer, pos)
        headers.append((name, None if size < 0 else buffer[pos : (pos := pos + size)]))
    return tuple(headers), pos
