"""The second half of the worker: one batch at a time, from records to a durable checkpoint."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Protocol

import structlog

from monitor.errors import Fenced, InvalidTrace, TooManyBadRecords, Unavailable
from monitor.ingest.outcome import Carries
from monitor.ingest.record import Record, TopicPartition
from monitor.ingest.route import RoutedBatch, Router
from monitor.pipeline.backoff import Backoff
from monitor.pipeline.batch import BatchBuilder
from monitor.pipeline.checkpoint import Checkpoint, CheckpointStore, DuplicateTrace, Span
from monitor.telemetry.health import Health
from monitor.telemetry.metrics import Metrics, PreferenceOutcome, Stage, TraceOutcome

BAD_RATIO_WINDOW = 10_000  # records over which the share of invalid ones is taken
PART = "worker"
log = structlog.get_logger(__name__)


class DeadLetters(Protocol):
    """Where rejected records are kept; both methods raise `Unavailable`."""

    def put(self, record: Record, invalid: InvalidTrace) -> None: ...

    def flush(self) -> None:
        """Return when everything put is durable."""
        ...


@dataclass(slots=True)
class PartitionCursor:
    """One assignment of a partition to this worker."""

    next_offset: int  # as stored: where the next checkpoint must start
    topic_id: str | None = None  # of the log that is being read
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records in the order of partition and offset, with the assignment each was read under."""

    records: Sequence[Record]
    cursors: dict[TopicPartition, PartitionCursor]

    def fence(self) -> bool:
        """Give up the batch's partitions: what was read after it may not be stored without it.

        Return whether any was this worker's still; the others are being read again already.
        """
        current = any(not cursor.revoked for cursor in self.cursors.values())
        for cursor in self.cursors.values():
            cursor.revoked = True
        return current


class BadRecordLimit:
    """Stops a worker that is being fed something else than traces."""

    def __init__(self, *, max_run: int, max_ratio: float) -> None:
        self._max_run = max_run
        self._max_ratio = max_ratio
        self._run = 0
        self._recent: deque[bool] = deque(maxlen=BAD_RATIO_WINDOW)
        self._bad = 0

    def add(self, bad: bool) -> None:
        """Take one record; raises `TooManyBadRecords` past either limit."""
        if len(self._recent) == BAD_RATIO_WINDOW:
            self._bad -= self._recent[0]
        self._recent.append(bad)
        self._bad += bad
        self._run = self._run + 1 if bad else 0
        if self._run >= self._max_run:
            raise TooManyBadRecords(f"{self._run} invalid records in a row; the limit is ingest.max_bad_run")
        if len(self._recent) == BAD_RATIO_WINDOW and self._bad > self._max_ratio * BAD_RATIO_WINDOW:
            raise TooManyBadRecords(
                f"{self._bad} of the last {BAD_RATIO_WINDOW} records are invalid; "
                f"the limit is ingest.max_bad_ratio = {self._max_ratio}"
            )


@dataclass(slots=True)
class Processor:
    """Makes batches durable, in order; waits and tries again while a service is away."""

    router: Router
    builder: BatchBuilder
    store: CheckpointStore
    dead_letters: DeadLetters
    limit: BadRecordLimit
    metrics: Metrics
    health: Health
    backoff: Backoff
    clock: Callable[[], datetime]
    stop: Event  # set when the time to leave has come, drained or not

    def process(self, batch: RecordBatch) -> dict[TopicPartition, int]:
        """Return the new next offsets; none where the batch was dropped or the stop came first.

        Raises `Fenced` and `TooManyBadRecords`; in both cases nothing of the batch is stored.
        """
        if not batch.records:  # all were revoked before they came here
            return {}
        with self.metrics.timed(Stage.DECODE):
            decoded = self.router.decode(batch.records, self.clock())
        self._check_share(batch, decoded)
        while not self.stop.is_set():
            try:
                written = self._write(batch, decoded)
            except Unavailable as reason:
                self.health.set_not_ready(PART, str(reason).splitlines()[0], plain=reason.plain)
                log.warning("checkpoint_waits", reason=str(reason))
                self.stop.wait(self.backoff.next_seconds())
            except DuplicateTrace:
                continue  # another worker stored it first: the next look-up finds it
            else:
                self.backoff.reset()
                self.health.set_ready(PART)
                return written
        return {}

    def _check_share(self, batch: RecordBatch, decoded: RoutedBatch) -> None:
        invalid = {id(rejected.record) for rejected in decoded.rejected}
        for record in batch.records:
            self.limit.add(id(record) in invalid)

    def _write(self, batch: RecordBatch, decoded: RoutedBatch) -> dict[TopicPartition, int]:
        """Store the batch unless a partition was taken away; dead letters are durable first."""
        spans = plan_spans(batch)
        if any(cursor.revoked for cursor in batch.cursors.values()):
            raise Fenced("a partition of the batch was revoked before its checkpoint")
        checkpoint = self.builder.build(decoded, spans)
        with self.metrics.timed(Stage.CHECKPOINT):
            for rejected in decoded.rejected:
                self.dead_letters.put(rejected.record, rejected.invalid)
            self.dead_letters.flush()
            self.store.write(checkpoint)
        written = {partition: span.stop for partition, span in spans.items()}
        for partition, stop in written.items():
            batch.cursors[partition].next_offset = stop
        self._count(checkpoint, decoded)
        return written

    def _count(self, checkpoint: Checkpoint, decoded: RoutedBatch) -> None:
        invalid = Counter(rejected.carries for rejected in decoded.rejected)
        repeats = sum(item.repeated for item in checkpoint.traces)
        self.metrics.count_traces(TraceOutcome.COUNTED, len(checkpoint.traces) - repeats)
        self.metrics.count_traces(TraceOutcome.REPEATED, repeats)
        self.metrics.count_traces(TraceOutcome.DUPLICATE, checkpoint.duplicates)
        self.metrics.count_traces(TraceOutcome.INVALID, invalid[Carries.TRACES])
        self.metrics.count_preferences(PreferenceOutcome.COUNTED, len(checkpoint.preferences))
        self.metrics.count_preferences(PreferenceOutcome.INVALID, invalid[Carries.PREFERENCES])
        for skip, count in decoded.skipped.items():
            self.metrics.count_skipped(skip, count)
        for reason, count in checkpoint.dead_letters.items():
            self.metrics.count_dead_letters(reason, count)
        scored = [item.reward.disagreement for item in checkpoint.traces if item.reward is not None]
        if scored:
            self.metrics.show_disagreement(sum(scored) / len(scored))


def plan_spans(batch: RecordBatch) -> dict[TopicPartition, Span]:
    """Return per partition the stored next offset and the one after the batch's last record."""
    spans = {}
    for partition, record in {record.topic_partition: record for record in batch.records}.items():
        cursor = batch.cursors[partition]
        epoch = record.leader_epoch if record.leader_epoch >= 0 else None
        spans[partition] = Span(cursor.next_offset, record.offset + 1, cursor.topic_id, epoch)
    return spans
