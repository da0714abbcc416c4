"""The worker's ports without servers: a store that keeps the contract, and a source that is told what happens."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from monitor.domain.cohort import CohortRule
from monitor.domain.label import LabelOutcome
from monitor.errors import Fenced, InvalidTrace, Unavailable
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.join import JoinRules
from monitor.ingest.join_call import Held
from monitor.ingest.offset import StartOffset, StoredOffset
from monitor.ingest.record import Record, TopicPartition
from monitor.ingest.route import Router, routes_of
from monitor.labels.intake import outcomes
from monitor.observe.cohorts import InMemoryCohortNames
from monitor.observe.scoring import RewardModel
from monitor.observe.step import ObserveRules
from monitor.pipeline.backoff import Backoff
from monitor.pipeline.batch import BatchBuilder
from monitor.pipeline.checkpoint import Checkpoint, DuplicateTrace, Waiting
from monitor.pipeline.processor import PART, BadRecordLimit, Processor
from monitor.pipeline.sweep import Sweep
from monitor.pipeline.worker import Assignment, BatchLimits, Worker
from monitor.settings.kafka import KafkaSettings
from monitor.telemetry.health import Health
from monitor.telemetry.metrics import Metrics
from tests.traces import line, trace

WAIT_SECONDS = 60.0
PATIENCE_SECONDS, LOOK_AGAIN_SECONDS, LEASE_SECONDS = 30.0, 2.0, 30.0
LIMITS = DecodeLimits(1_000_000, 2_000_000, timedelta(days=366))
NOW = datetime(2025, 3, 2, tzinfo=UTC)


class InMemoryCheckpoints:
    """A `CheckpointStore` that is all or nothing, compares offsets and refuses doubles; safe from any thread."""

    def __init__(self) -> None:
        self.offsets: dict[TopicPartition, int] = {}
        self.bad_runs: dict[TopicPartition, int] = {}
        self.written: list[Checkpoint] = []
        self.away = 0  # this many calls of `write` find the store away
        self.open = threading.Event()  # `write` waits for it
        self.open.set()
        self.entered = threading.Semaphore(0)  # released when `write` is called
        self._lock = threading.Lock()
        self._numbers = count()
        self.seconds = 0.0  # the store's clock
        self.waiting: dict[int, tuple[Held, float]] = {}  # with the time when it is due
        self.received: dict[int, float] = {}
        self.aliases: set[str] = set()

    @property
    def trace_ids(self) -> list[str]:
        with self._lock:
            return [item.trace.trace_id for checkpoint in self.written for item in checkpoint.observed.traces]

    def stored_offsets(self) -> dict[TopicPartition, StoredOffset]:
        with self._lock:
            return {
                partition: StoredOffset(offset, bad_run=self.bad_runs.get(partition, 0))
                for partition, offset in self.offsets.items()
            }

    def begin(self, offsets: Mapping[TopicPartition, StoredOffset]) -> None:
        with self._lock:
            self.offsets = {partition: begun.next_offset for partition, begun in offsets.items()} | self.offsets

    def set_back(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Forget every checkpoint that went beyond *offsets*, as a server that lost its last commits."""
        with self._lock:
            self.written = [
                checkpoint
                for checkpoint in self.written
                if all(span.stop <= offsets[partition] for partition, span in checkpoint.spans.items())
            ]
            self.offsets = dict(offsets)

    def known_traces(self, trace_ids: Sequence[str]) -> set[str]:
        return set(trace_ids) & {*self.trace_ids, *self.aliases}

    def waiting_parts(self, traces: Sequence[str]) -> list[Held]:
        with self._lock:
            return [
                replace(held, age_seconds=self.seconds - self.received[number], fragment_id=number)
                for number, (held, _) in sorted(self.waiting.items())
                if held.part.trace in traces
            ]

    def due_parts(self, excess: int) -> Waiting:
        with self._lock:
            due = {number: held for number, (held, due) in self.waiting.items() if due <= self.seconds}
            for number, held in due.items():
                over = self.received[number] + PATIENCE_SECONDS
                self.waiting[number] = held, over if over > self.seconds else self.seconds + LEASE_SECONDS
            oldest = [self.waiting[number][0] for number in sorted(self.waiting)[:excess]]
        ended = frozenset(held.part.trace for held in oldest)
        return Waiting(self.waiting_parts([*ended, *(held.part.trace for held in due.values())]), ended)

    def count_waiting(self) -> tuple[int, float]:
        with self._lock:
            return len(self.waiting), max((self.seconds - at for at in self.received.values()), default=0.0)

    def last_counted(self, keys: Iterable[bytes]) -> dict[bytes, datetime]:
        with self._lock:
            kept = {key: at for checkpoint in self.written for key, at in checkpoint.observed.counted_keys.items()}
        return {key: kept[key] for key in keys if key in kept}

    def write(self, checkpoint: Checkpoint) -> list[LabelOutcome]:
        self.entered.release()
        assert self.open.wait(WAIT_SECONDS)
        known = self.known_traces([item.trace.trace_id for item in checkpoint.observed.traces])
        with self._lock:
            if self.away > 0:
                self.away -= 1
                raise Unavailable("the store is away")
            for partition, span in checkpoint.spans.items():
                if self.offsets.get(partition) != span.start:
                    raise Fenced(f"{partition}: the stored next offset is not {span.start}")
            if known:
                raise DuplicateTrace(str(known))
            self.written.append(checkpoint)
            self.offsets |= {partition: span.stop for partition, span in checkpoint.spans.items()}
            self.bad_runs |= {partition: span.bad_run for partition, span in checkpoint.spans.items()}
            for held in checkpoint.waits:
                number = next(self._numbers)
                self.waiting[number] = held, self.seconds + LOOK_AGAIN_SECONDS
                self.received[number] = self.seconds
            for number in checkpoint.done:
                self.waiting.pop(number, None)
                self.received.pop(number, None)
            self.aliases.update(name for name, _ in checkpoint.aliases)
            told = [label for written in self.written[:-1] for label in written.labels]
            new = {(label.label_id, label.digest()) for label in checkpoint.labels}
            new -= {(label.label_id, label.digest()) for label in told}
            return outcomes(checkpoint.labels, new, stored=[*told, *checkpoint.labels])


def no_replay(_record: Record) -> bool:
    return False


@dataclass
class InMemoryDeadLetters:
    put_in: list[tuple[Record, InvalidTrace]] = field(default_factory=list)
    durable: list[tuple[Record, InvalidTrace]] = field(default_factory=list)
    away: int = 0  # this many calls of `flush` find the topic away

    def put(self, record: Record, invalid: InvalidTrace) -> None:
        self.put_in.append((record, invalid))

    def flush(self) -> None:
        if self.away > 0:
            self.away -= 1
            raise Unavailable("the dead-letter topic is away")
        self.durable += self.put_in
        self.put_in = []


class ScriptedSource:
    """A group member over a log in memory; what the group does is queued and happens in the next `poll`.

    As Kafka's, it reads an assigned partition from its stored offset, returns nothing
    while paused, and goes back to the stored offset on `restart`.
    """

    def __init__(self, log: Mapping[TopicPartition, list[bytes]], *, poll_records: int = 10) -> None:
        self.log = {partition: list(values) for partition, values in log.items()}
        self.events: deque[Callable[[], None]] = deque()
        self.polls: Counter[str] = Counter()  # "paused" or "reading"
        self.restarts = 0
        self.committed: dict[TopicPartition, int] = {}
        self.closed = False
        self.positions: dict[TopicPartition, int] = {}
        self._poll_records = poll_records
        self._paused = False
        self._pending: set[TopicPartition] = set(self.log)

    def open(self, assignment: Assignment) -> ScriptedSource:
        self.assignment = assignment
        return self

    def revoke(self, *partitions: TopicPartition) -> None:
        def happen() -> None:
            self.assignment.on_revoked(partitions)
            for partition in partitions:
                self.positions.pop(partition, None)

        self.events.append(happen)

    def assign(self, *partitions: TopicPartition) -> None:
        self.events.append(lambda: self._pending.update(partitions))

    def poll(self, timeout_seconds: float) -> list[Record]:
        self.polls["paused" if self._paused else "reading"] += 1
        while self.events:
            self.events.popleft()()
        self._start()
        records = (
            [] if self._paused else [item for partition in sorted(self.positions) for item in self._read(partition)]
        )
        if not records:
            time.sleep(min(timeout_seconds, 0.002))
        return records

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def restart(self) -> None:
        self.restarts += 1
        self._pending |= set(self.positions)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.committed |= offsets

    def lag(self) -> Mapping[TopicPartition, int]:
        return {partition: len(self.log[partition]) - at for partition, at in self.positions.items()}

    def close(self) -> None:
        self.assignment.on_revoked(list(self.positions))
        self.closed = True

    def _start(self) -> None:
        if not self._pending:
            return
        stored = self.assignment.on_assigned(sorted(self._pending))
        known = {partition: found.next_offset for partition, found in stored.items()}
        starts = {partition: StartOffset(known.get(partition, 0), known.get(partition)) for partition in self._pending}
        self.assignment.on_started(starts)
        self.positions |= {partition: start.offset for partition, start in starts.items()}
        self._pending = set()

    def _read(self, partition: TopicPartition) -> Iterator[Record]:
        first = self.positions[partition]
        values = self.log[partition][first : first + self._poll_records]
        self.positions[partition] += len(values)
        for number, value in enumerate(values):
            yield Record(*partition, first + number, None, value)


@dataclass
class Bench:
    """A worker on in-memory parts."""

    source: ScriptedSource
    store: InMemoryCheckpoints = field(default_factory=InMemoryCheckpoints)
    dead_letters: InMemoryDeadLetters = field(default_factory=InMemoryDeadLetters)
    health: Health = field(default_factory=lambda: Health((PART,)))
    limit: BadRecordLimit = field(
        default_factory=lambda: BadRecordLimit(max_run=1000, max_ratio=0.9, is_own_replay=no_replay)
    )
    reward_model: RewardModel | None = None
    max_records: int = 10
    max_seconds: float = 0.01
    max_traces: int | None = None
    max_bytes: int = 1 << 30
    drain_seconds: float = 10.0

    def worker(self) -> Worker:
        metrics = Metrics(CollectorRegistry())
        return Worker(
            self.source.open,
            self.processor(metrics),
            limits=BatchLimits(self.max_records, self.max_seconds, self.max_bytes),
            metrics=metrics,
            health=self.health,
            backoff=quick(),
            drain_seconds=self.drain_seconds,
        )

    def processor(self, metrics: Metrics) -> Processor:
        made = builder(self.store, metrics=metrics, reward_model=self.reward_model)
        return Processor(
            router=router(),
            builder=made,
            store=self.store,
            dead_letters=self.dead_letters,
            limit=self.limit,
            metrics=metrics,
            health=self.health,
            backoff=quick(),
            clock=lambda: NOW,
            stop=threading.Event(),
            sweep=Sweep(made, self.store, metrics, max_fragments=1000),
            max_traces=self.max_traces,
        )

    @contextmanager
    def running(self) -> Iterator[threading.Event]:
        """Run the worker in a thread; yields its stop, which leaving sets."""
        stop = threading.Event()

        def body() -> None:
            with self.health.guard(PART):
                worker.run(stop)

        worker = self.worker()
        thread = threading.Thread(target=body)
        thread.start()
        try:
            yield stop
        finally:
            stop.set()
            thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


def router() -> Router:
    return Router(routes_of(KafkaSettings()), LIMITS)


def builder(store: InMemoryCheckpoints, *, metrics: Metrics, reward_model: RewardModel | None = None) -> BatchBuilder:
    rules = ObserveRules(CohortRule(("dataset",)), timedelta(hours=1))
    return BatchBuilder(
        rules,
        store,
        InMemoryCohortNames(50),
        reward_model=lambda: reward_model,
        metrics=metrics,
        joining=JoinRules(LIMITS, patience_seconds=PATIENCE_SECONDS),
        clock=lambda: NOW,
    )


def lines(*numbers: int) -> list[bytes]:
    return [line(trace(number)) for number in numbers]


def quick() -> Backoff:
    return Backoff(Random(0), first_seconds=0.001, longest_seconds=0.002)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.002)
