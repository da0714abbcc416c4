"""The second half of the worker: from records to a durable checkpoint, in order; the next batch is read meanwhile."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Event
from typing import Protocol

import structlog

from monitor.domain.label import LabelOutcome
from monitor.errors import Fenced, InvalidTrace, TooManyBadRecords, Unavailable
from monitor.ingest.outcome import Carries
from monitor.ingest.record import Record, TopicPartition
from monitor.ingest.route import Rejected, RoutedBatch, Router
from monitor.pipeline.backoff import Backoff
from monitor.pipeline.batch import BatchBuilder
from monitor.pipeline.checkpoint import Checkpoint, CheckpointStore, DuplicateTrace, Span
from monitor.pipeline.sweep import Sweep
from monitor.telemetry.health import Health
from monitor.telemetry.metrics import Metrics, PreferenceOutcome, Stage, TraceOutcome

BAD_RATIO_WINDOW = 10_000  # records over which the share of invalid ones is taken
PART, BATCH_PART, AHEAD_PART = "worker", "batch", "next batch"  # as `/readyz` names them
AWAIT_SECONDS = 0.1  # between two looks at whether the time to leave has come
BATCH_SECONDS = 30.0  # a batch that takes longer makes the process not ready, also where the thread hangs
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
    bad_run: int = 0  # invalid records in a row that end before `next_offset`
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

    def parted(self, count: int) -> tuple[RecordBatch, RecordBatch | None]:
        """Return the first *count* records, and the others where there are any, each with its own assignments."""
        if count >= len(self.records):
            return self, None
        first, rest = [
            RecordBatch(records, {at: self.cursors[at] for at in {record.topic_partition for record in records}})
            for records in (self.records[:count], self.records[count:])
        ]
        return first, rest


class BadRecordLimit:
    """Stops a worker that is being fed something else than traces.

    The run of a partition is stored with its offset, so that a restart does not begin
    it again; the share is taken over what this process has read.
    """

    def __init__(self, *, max_run: int, max_ratio: float, is_own_replay: Callable[[Record], bool]) -> None:
        self._is_own_replay = is_own_replay
        self._max_run = max_run
        self._max_ratio = max_ratio
        self._recent: deque[bool] = deque(maxlen=BAD_RATIO_WINDOW)
        self._bad = 0

    def add(self, record: Record, run: int, *, bad: bool) -> int:
        """Take one record after *run* invalid ones in a row; return the run with it.

        Raises `TooManyBadRecords` past either limit. A letter that we replayed and that is
        bad again is no sign of a topic that holds something else, so it counts for neither.
        """
        if bad and self._is_own_replay(record):
            return run
        if len(self._recent) == BAD_RATIO_WINDOW:
            self._bad -= self._recent[0]
        self._recent.append(bad)
        self._bad += bad
        run = run + 1 if bad else 0
        if run >= self._max_run:
            raise TooManyBadRecords(
                f"{record.topic}[{record.partition}]: {run} invalid records in a row up to offset {record.offset};"
                f" the limit is ingest.max_bad_run = {self._max_run}. Is something else than"
                " traces written there? If they may go to the dead letters, start with a larger ingest.max_bad_run:"
                " the run ends with the first good record"
            )
        if len(self._recent) == BAD_RATIO_WINDOW and self._bad > self._max_ratio * BAD_RATIO_WINDOW:
            raise TooManyBadRecords(
                f"{self._bad} of the last {BAD_RATIO_WINDOW} records are invalid;"
                f" the limit is ingest.max_bad_ratio = {self._max_ratio}. If they may go to the dead letters,"
                " start with a larger ingest.max_bad_ratio; 1 switches the limit off"
            )
        return run


@dataclass(slots=True)
class PreparedBatch:
    """A batch whose records are read, and its checkpoint where it could be made while the batch before was stored."""

    batch: RecordBatch
    decoded: RoutedBatch
    after: PreparedBatch | None = None  # what was being stored; its checkpoint counted as stored
    swept: int = 0  # checkpoints of parts that waited, as many as were stored before it was built
    checkpoint: Checkpoint | None = None  # without its offsets
    is_tried: bool = False  # to build it, before it is its turn to be stored
    is_built: Event = field(default_factory=Event)  # `checkpoint` is there; or it is done
    is_done: Event = field(default_factory=Event)  # stored, or given up
    is_kept: bool = False  # `checkpoint` is what was stored
    rest: RecordBatch | None = None  # records that were handed over together with these, and are not read yet

    @property
    def requests(self) -> set[str]:
        """Requests that its parts of calls are of."""
        return {part.trace for part, _ in self.decoded.parts}

    def awaited(self) -> Event | None:
        """Return what has to come before this can be built: parts join what is stored of their request by then."""
        if self.after is None or self.after.is_done.is_set():
            return None
        if not self.requests.isdisjoint(self.after.requests):
            return self.after.is_done
        return None if self.after.is_built.is_set() else self.after.is_built


@dataclass(slots=True)
class Processor:
    """Makes batches durable, in order; waits and tries again while a service is away.

    One thread may prepare the next batch while another stores the one before it.
    """

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
    sweep: Sweep
    max_traces: int | None = None  # of a batch; it ends with the record that brings so many, None: with its last one
    _last: PreparedBatch | None = field(default=None, init=False)
    _swept: int = field(default=0, init=False)  # checkpoints of the sweep

    def look_again(self) -> None:
        """Join what waits and is due; it does little more than once a second, whoever calls."""
        if self.stop.is_set() or not self.sweep.is_due():
            return
        self.health.set_busy(BATCH_PART, BATCH_SECONDS, "looking again at parts that wait")
        try:
            for checkpoint in self.sweep.turn():
                self._swept += 1
                self._count(checkpoint, RoutedBatch(), ())
        finally:
            self.health.set_ready(BATCH_PART)

    def process(self, batch: RecordBatch) -> dict[TopicPartition, int]:
        """Prepare and store *batch*, with nothing in between."""
        offsets: dict[TopicPartition, int] = {}
        left: RecordBatch | None = batch
        while left is not None:
            prepared = self.prepare(left)
            offsets |= self.store_batch(prepared)
            left = prepared.rest
        return offsets

    def prepare(self, batch: RecordBatch) -> PreparedBatch:
        """Read what *batch* holds and score it, as if the batch that was prepared before it were stored.

        Where that has to wait, for a service or for the batch before, it is left to `build_next` or `store_batch`.
        A batch of too many traces is parted: `rest` is to be prepared next.
        """
        self.health.set_busy(AHEAD_PART, BATCH_SECONDS, "reading a batch")
        try:
            with self.metrics.timed(Stage.DECODE):
                decoded = self.router.decode(batch.records, self.clock(), enough=self.max_traces)
            batch, rest = batch.parted(decoded.records)
            prepared = PreparedBatch(batch, decoded, self._last, rest=rest)
            self._last = prepared
            if prepared.awaited() is None:
                self._build(prepared)
            return prepared
        finally:
            self.health.set_ready(AHEAD_PART)

    def build_next(self, prepared: PreparedBatch) -> None:
        """Build what `prepare` left, as soon as the batch before it, which another thread stores, allows."""
        while not prepared.is_tried and not self.stop.is_set():
            awaited = prepared.awaited()
            if awaited is not None:
                awaited.wait(AWAIT_SECONDS)
                continue
            self.health.set_busy(AHEAD_PART, BATCH_SECONDS, "building a batch")
            try:
                self._build(prepared)
            finally:
                self.health.set_ready(AHEAD_PART)

    def _build(self, prepared: PreparedBatch) -> None:
        """Build *prepared*, which awaits nothing; where a service is away, `store_batch` does, and waits."""
        prepared.is_tried = True
        prepared.swept = self._swept  # first: what is swept while it is built undoes it
        if prepared.after is not None and prepared.after.is_done.is_set():
            prepared.after = None
        with suppress(Unavailable):
            before = None if prepared.after is None else prepared.after.checkpoint
            prepared.checkpoint = self.builder.build(prepared.decoded, before)
            prepared.is_built.set()

    def store_batch(self, prepared: PreparedBatch) -> dict[TopicPartition, int]:
        """Return the new next offsets; none where the batch was dropped or the stop came first.

        Raises `Fenced` and `TooManyBadRecords`; in both cases nothing of the batch is stored.
        """
        batch, decoded = prepared.batch, prepared.decoded
        self.health.set_busy(BATCH_PART, BATCH_SECONDS, "storing a batch")
        try:
            if not batch.records:  # all were revoked before they came here
                return {}
            invalid = {id(rejected.record) for rejected in decoded.rejected}
            runs = {partition: cursor.bad_run for partition, cursor in batch.cursors.items()}  # bad ones in a row
            for record in batch.records:
                partition = record.topic_partition
                runs[partition] = self.limit.add(record, runs[partition], bad=id(record) in invalid)
            return self._store(prepared, plan_spans(batch, runs))
        finally:
            prepared.after = None
            prepared.is_built.set()
            prepared.is_done.set()
            self.health.set_ready(BATCH_PART)

    def _store(self, prepared: PreparedBatch, spans: dict[TopicPartition, Span]) -> dict[TopicPartition, int]:
        """Try until the batch is durable, and its cursors moved, or the stop comes.

        It is built, and so scored, once; again only where a trace of it was stored elsewhere, or where what was
        stored before it is not what it was prepared on.
        """
        batch, decoded = prepared.batch, prepared.decoded
        is_true = prepared.swept == self._swept and (prepared.after is None or prepared.after.is_kept)
        checkpoint = prepared.checkpoint if is_true else None
        while not self.stop.is_set():
            try:
                self._set_aside(batch, decoded.rejected)
                checkpoint = checkpoint or self.builder.build(decoded)
                prepared.checkpoint = prepared.checkpoint or checkpoint  # the next one may be built on it meanwhile
                prepared.is_built.set()
                if checkpoint.rejected:
                    self._set_aside(batch, checkpoint.rejected)
                ids = (item.trace.trace_id for item in checkpoint.observed.traces)
                with self.metrics.timed(Stage.CHECKPOINT, ids):
                    labelled = self.store.write(replace(checkpoint, spans=spans))
            except Unavailable as reason:
                self.health.set_not_ready(PART, str(reason).splitlines()[0], plain=reason.plain)
                log.warning("checkpoint_waits", reason=str(reason))
                self.stop.wait(self.backoff.next_seconds())
            except DuplicateTrace:
                checkpoint = None  # another worker stored it first: the next look-up finds it
            else:
                self.backoff.reset()
                self.health.set_ready(PART)
                prepared.is_kept = checkpoint is prepared.checkpoint
                self._count(checkpoint, decoded, labelled)
                for partition, span in spans.items():
                    batch.cursors[partition].next_offset = span.stop
                    batch.cursors[partition].bad_run = span.bad_run
                return {partition: span.stop for partition, span in spans.items()}
        return {}

    def _set_aside(self, batch: RecordBatch, letters: Sequence[Rejected]) -> None:
        """Make the dead letters durable, unless a partition of the batch was taken away."""
        if any(cursor.revoked for cursor in batch.cursors.values()):
            raise Fenced("a partition of the batch was revoked before its checkpoint")
        for rejected in letters:
            self.dead_letters.put(rejected.record, rejected.invalid)
        self.dead_letters.flush()

    def _count(self, checkpoint: Checkpoint, decoded: RoutedBatch, labelled: Sequence[LabelOutcome]) -> None:
        invalid = Counter(rejected.carries for rejected in (*decoded.rejected, *checkpoint.rejected))
        repeats = sum(item.repeated for item in checkpoint.observed.traces)
        self.metrics.count_traces(TraceOutcome.COUNTED, len(checkpoint.observed.traces) - repeats)
        self.metrics.count_traces(TraceOutcome.REPEATED, repeats)
        self.metrics.count_traces(TraceOutcome.DUPLICATE, checkpoint.duplicates)
        self.metrics.count_traces(TraceOutcome.INVALID, invalid[Carries.TRACES])
        self.metrics.count_preferences(PreferenceOutcome.COUNTED, len(checkpoint.preferences))
        self.metrics.count_preferences(PreferenceOutcome.INVALID, invalid[Carries.PREFERENCES])
        for label, outcome in zip(checkpoint.labels, labelled, strict=True):
            self.metrics.labels.count(outcome, label.source)
        self.metrics.labels.count_invalid(invalid[Carries.LABELS])
        for skip, count in checkpoint.skipped.items():
            self.metrics.count_skipped(skip, count)
        self.metrics.joins.count(checkpoint.incomplete, waits=len(checkpoint.waits))
        for reason, count in checkpoint.dead_letters.items():
            self.metrics.count_dead_letters(reason, count)
        scored = [item.reward.disagreement for item in checkpoint.observed.traces if item.reward is not None]
        if scored:
            self.metrics.show_disagreement(sum(scored) / len(scored))


def plan_spans(batch: RecordBatch, bad_runs: Mapping[TopicPartition, int]) -> dict[TopicPartition, Span]:
    """Return per partition the stored next offset and the one after the batch's last record."""
    spans = {}
    for partition, record in {record.topic_partition: record for record in batch.records}.items():
        cursor = batch.cursors[partition]
        epoch = record.leader_epoch if record.leader_epoch >= 0 else None
        run = bad_runs.get(partition, 0)
        spans[partition] = Span(cursor.next_offset, record.offset + 1, cursor.topic_id, epoch, run)
    return spans
