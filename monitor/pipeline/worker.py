"""The worker: polls, holds under back-pressure, and hands batches to the processor."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from monitor.errors import Backpressure, Fenced, Unavailable
from monitor.ingest.offset import StartOffset, StoredOffset
from monitor.ingest.record import Record, TopicPartition, size_of
from monitor.pipeline.backoff import Backoff
from monitor.pipeline.checkpoint import CheckpointStore
from monitor.pipeline.processor import BATCH_PART, PART, PartitionCursor, PreparedBatch, Processor, RecordBatch
from monitor.pipeline.sweep import SWEEP_SECONDS
from monitor.telemetry.health import Health
from monitor.telemetry.metrics import Metrics, Stage

POLL_SECONDS = 0.2
HELD_POLL_SECONDS = 0.05
LAG_SECONDS = 5.0
COMPARE_SECONDS = 10.0  # between two looks at the stored offsets while nothing is in flight
HANG_SECONDS = 30.0  # a call to the brokers that takes longer makes the process not ready
POLL_PART = "poll"  # as `/readyz` names it
QUEUED_BATCHES = 1  # beside the one that is being stored and the one that is being read
log = structlog.get_logger(__name__)


class Source(Protocol):
    """A consumer group member; `monitor.ingest.kafka.KafkaSource` is the one there is."""

    def poll(self, timeout_seconds: float) -> list[Record]: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def restart(self) -> None: ...
    def commit(self, offsets: Mapping[TopicPartition, int]) -> None: ...
    def lag(self) -> Mapping[TopicPartition, int]: ...
    def close(self) -> None: ...


class Assignment:
    """Which partitions this worker reads, and from which stored offsets."""

    def __init__(self, store: CheckpointStore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._stored: dict[TopicPartition, StoredOffset] = {}
        self._counted: dict[TopicPartition, StartOffset] = {}  # gaps; a rejoin meets them again
        self.cursors: dict[TopicPartition, PartitionCursor] = {}

    def on_assigned(self, _partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, StoredOffset]:
        self._stored = self._store.stored_offsets()
        return self._stored

    def on_topics_found(self, starts: Mapping[TopicPartition, StartOffset]) -> None:
        self._store.begin({partition: _begun(start) for partition, start in starts.items()})

    def on_started(self, starts: Mapping[TopicPartition, StartOffset]) -> None:
        """Begin a cursor for each new partition; one that is being read keeps its own.

        The compare-and-set starts from what is stored, also where the log begins later.
        """
        for partition, start in starts.items():
            if self._counted.get(partition) != start:
                self._metrics.count_lost_records(partition[0], start.lost)
                self._metrics.count_replaced_logs(partition[0], int(start.replaced))
            self._counted[partition] = start
        new = {partition: start for partition, start in starts.items() if partition not in self.cursors}
        self._store.begin({partition: _begun(start) for partition, start in new.items()})
        for partition, start in new.items():
            stored = self._stored.get(partition)
            bad_run = 0 if stored is None else stored.bad_run
            self.cursors[partition] = PartitionCursor(_begun(start).next_offset, start.topic_id, bad_run)
            log.info("partition_started", topic=partition[0], partition=partition[1], offset=start.offset)

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Drop what was read: the next owner reads it again, and the offsets fence what is in flight."""
        for partition in partitions:
            cursor = self.cursors.pop(partition, None)
            if cursor is not None:
                cursor.revoked = True

    def has_moved(self) -> bool:
        """Say whether what is stored is not what this worker stored last: asked while nothing is in flight."""
        stored = self._store.stored_offsets()
        return any(
            partition not in stored or stored[partition].next_offset != cursor.next_offset
            for partition, cursor in list(self.cursors.items())  # another thread may change them meanwhile
        )

    def drop_all(self) -> None:
        self.on_revoked(list(self.cursors))


def _begun(start: StartOffset) -> StoredOffset:
    return StoredOffset(start.offset if start.stored is None else start.stored, start.topic_id)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch is handed over: the first of these that is reached says so."""

    max_records: int
    max_seconds: float
    max_bytes: int = 1 << 30  # of its records; a larger one is alone


class Worker:
    """Runs in the calling thread, with one that reads batches and one that stores them; ends on *stop* or raises.

    On *stop* it takes no more records, makes what it holds durable while
    *drain_seconds* last, and leaves the group.
    """

    def __init__(
        self,
        open_source: Callable[[Assignment], Source],
        processor: Processor,
        *,
        limits: BatchLimits,
        metrics: Metrics,
        health: Health,
        backoff: Backoff,
        drain_seconds: float,
    ) -> None:
        self._open_source = open_source
        self._processor = processor
        self._limits = limits
        self._metrics = metrics
        self._health = health
        self._backoff = backoff
        self._drain_seconds = drain_seconds
        self._assignment = Assignment(processor.store, metrics)
        self._queue: queue.Queue[RecordBatch | None] = queue.Queue(maxsize=QUEUED_BATCHES)
        self._prepared: queue.SimpleQueue[PreparedBatch | None] = queue.SimpleQueue()
        self._ahead = threading.Semaphore(1)  # batches that may still be read before the next is stored
        self._committed: queue.SimpleQueue[dict[TopicPartition, int]] = queue.SimpleQueue()
        self._fenced = threading.Event()
        self._seems_moved = threading.Event()
        self._unreachable: Unavailable | None = None
        self._records: list[tuple[Record, PartitionCursor]] = []
        self._held: RecordBatch | None = None
        self._bytes = 0  # of `_records`
        self._oldest = 0.0  # when the first of them came, or later
        self._lag_due = 0.0
        self._compare_due = 0.0
        self.lag_records: int | None = None  # behind the log's ends, over all partitions read here; None if unknown

    def run(self, stop: threading.Event) -> None:
        threading.Thread(target=self._prepare, name="reader", daemon=True).start()
        thread = threading.Thread(target=self._process, name="processor", daemon=True)
        thread.start()
        try:
            source = self._connect(stop)
            if source is None:
                return
            with closing(source):
                while not stop.is_set() and self._health.failure is None:
                    self._step(source, stop)
                self._drain(source, thread)
        finally:
            self._dismiss()

    def _connect(self, stop: threading.Event) -> Source | None:
        while not stop.is_set():
            try:
                with self._asking_brokers():
                    return self._open_source(self._assignment)
            except Unavailable as reason:
                self._wait(reason, stop)
        return None

    def _step(self, source: Source, stop: threading.Event) -> None:
        try:
            with self._asking_brokers():
                if self._fenced.is_set() or self._was_set_back():  # begin again at the stored offsets
                    self._assignment.drop_all()
                    self._records, self._held, self._bytes = [], None, 0
                    self._fenced.clear()
                    source.restart()
                    source.resume()
                with self._metrics.timed(Stage.POLL):
                    polled = source.poll(POLL_SECONDS if self._held is None else HELD_POLL_SECONDS)
                if polled and not self._records:
                    self._oldest = time.monotonic()
                cursors = self._assignment.cursors  # each record is kept with the assignment it was read under
                mine = [(item, cursors[at]) for item in polled if (at := item.topic_partition) in cursors]
                self._records += mine
                self._bytes += sum([size_of(item) for item, _ in mine])
                self._hand_over(source)
                self._report(source)
            self._backoff.reset()
        except Unavailable as reason:
            self._wait(reason, stop)

    @contextmanager
    def _asking_brokers(self) -> Iterator[None]:
        """Make the process not ready where the block does not come to its end in time."""
        self._health.set_busy(POLL_PART, HANG_SECONDS, "asking Kafka, or PostgreSQL for the offsets")
        try:
            yield
        finally:
            self._health.set_ready(POLL_PART)

    def _compare(self) -> None:
        """Compare with what is stored while idle: a server that lost its last commits says nothing by itself.

        In the processor's thread: a database that hangs must not keep the brokers from being asked.
        """
        if self._queue.unfinished_tasks or time.monotonic() < self._compare_due:
            return
        self._health.set_busy(BATCH_PART, HANG_SECONDS, "asking PostgreSQL for the offsets")
        try:
            if self._assignment.has_moved():
                self._seems_moved.set()
        except Unavailable as reason:
            self._unreachable = reason
        finally:
            self._health.set_ready(BATCH_PART)
            self._compare_due = time.monotonic() + COMPARE_SECONDS

    def _was_set_back(self) -> bool:
        """Say whether reading has to begin again; raise what kept the processor from finding out."""
        unreachable, self._unreachable = self._unreachable, None
        if unreachable is not None:
            raise unreachable
        if not self._seems_moved.is_set():
            return False
        self._seems_moved.clear()
        idle = not self._records and self._held is None and self._queue.unfinished_tasks == 0
        if not idle or not self._assignment.has_moved():  # what was under way then has been stored since
            return False
        log.warning("stored_offsets_moved", hint="reading again from what is stored")
        return True

    def _wait(self, reason: Unavailable, stop: threading.Event) -> None:
        self._health.set_not_ready(PART, str(reason).splitlines()[0], plain=reason.plain)
        log.warning("worker_waits", reason=str(reason))
        self.lag_records = None  # what was known is of then
        stop.wait(self._backoff.next_seconds())

    def _hand_over(self, source: Source) -> None:
        """Queue what is due; under back-pressure hold one batch, pause, and keep polling."""
        try:
            if self._held is not None:
                self._put(self._held)
                self._held = None
                self._oldest = time.monotonic()  # more than what is left has come meanwhile, and is polled first
                source.resume()
            while self._is_due():
                batch = self._cut()
                self._held = batch
                self._put(batch)
                self._held = None
        except Backpressure:
            source.pause()

    def _is_due(self) -> bool:
        if not self._records:
            return False
        full = len(self._records) >= self._limits.max_records or self._bytes >= self._limits.max_bytes
        return full or time.monotonic() - self._oldest >= self._limits.max_seconds

    def _cut(self) -> RecordBatch:
        count, held = 0, 0
        for record, _ in self._records[: self._limits.max_records]:
            held += size_of(record)
            if count and held > self._limits.max_bytes:
                held -= size_of(record)
                break
            count += 1
        taken, self._records = self._records[:count], self._records[count:]
        self._bytes -= held
        self._oldest = time.monotonic()  # what is left came with the poll just before
        mine = [(record, cursor) for record, cursor in taken if not cursor.revoked]
        return RecordBatch([record for record, _ in mine], {record.topic_partition: cursor for record, cursor in mine})

    def _put(self, batch: RecordBatch) -> None:
        try:
            self._queue.put_nowait(batch)
        except queue.Full:
            raise Backpressure from None

    def _report(self, source: Source) -> None:
        """Tell Kafka and the metrics how far the checkpoints are."""
        self._commit(source)
        if time.monotonic() >= self._lag_due:
            lag = source.lag()
            self._metrics.show_lag(lag)
            self.lag_records = sum(lag.values()) if lag else None
            self._lag_due = time.monotonic() + LAG_SECONDS
            if self._queue.unfinished_tasks == 0:  # a processor at work speaks for itself
                self._health.set_ready(PART)

    def _commit(self, source: Source) -> None:
        committed: dict[TopicPartition, int] = {}
        while not self._committed.empty():
            committed |= self._committed.get()
        if committed:
            source.commit(committed)

    def _prepare(self) -> None:
        """The reader's thread: one batch ahead of the processor's; its failure is the process's."""
        try:
            with self._health.guard(PART):
                left: RecordBatch | None = None
                while self._ahead.acquire() and (batch := left or self._queue.get()) is not None:
                    prepared = self._processor.prepare(batch)
                    self._processor.build_next(prepared)
                    self._prepared.put(prepared)
                    left = None if self._processor.stop.is_set() else prepared.rest
        finally:
            self._prepared.put(None)

    def _process(self) -> None:
        """The processor's thread; its failure is the process's."""
        with self._health.guard(PART):
            while (prepared := self._next()) is not None:
                self._ahead.release()
                self._store(prepared)

    def _next(self) -> PreparedBatch | None:
        """Return the next batch, None at the end; meanwhile see to parts that wait and to what is stored."""
        while True:
            self._processor.look_again()
            self._compare()
            with suppress(queue.Empty):
                return self._prepared.get(timeout=SWEEP_SECONDS)

    def _store(self, prepared: PreparedBatch) -> None:
        try:
            self._committed.put(self._processor.store_batch(prepared))
        except Fenced as reason:
            log.warning("fenced", reason=str(reason))
            # Else its partitions are being read again already: a second rejoin would undo the first.
            if prepared.batch.fence():
                self._fenced.set()
        finally:
            if prepared.rest is None:
                self._queue.task_done()

    def _drain(self, source: Source, thread: threading.Thread) -> None:
        """Make what was read durable within the time there is."""
        deadline = time.monotonic() + self._drain_seconds
        waiting = [self._held] if self._held is not None else []
        while self._records:
            waiting.append(self._cut())
        for batch in [*waiting, None]:
            self._offer(batch, thread, deadline)
        thread.join(max(deadline - time.monotonic(), 0.0))
        self._processor.stop.set()
        self._commit(source)

    def _offer(self, batch: RecordBatch | None, thread: threading.Thread, deadline: float) -> None:
        while time.monotonic() < deadline and thread.is_alive():
            try:
                self._queue.put(batch, timeout=HELD_POLL_SECONDS)
            except queue.Full:
                continue
            return

    def _dismiss(self) -> None:
        """End both threads as soon as they let go of their batches, whatever is queued."""
        self._processor.stop.set()
        self._ahead.release(2)  # one for a batch that is parted, one for the end
        while not self._queue.empty():
            with suppress(queue.Empty):
                self._queue.get_nowait()
        self._queue.put(None)
