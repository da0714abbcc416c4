"""One batch at a time: spans, what is counted, and the order of what becomes durable."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from monitor.domain.label import LabelOutcome
from monitor.domain.score import Reward
from monitor.domain.trace import Message
from monitor.errors import Fenced, TooManyBadRecords
from monitor.ingest.record import Record, TopicPartition
from monitor.pipeline.checkpoint import Checkpoint, DuplicateTrace, Span
from monitor.pipeline.processor import BadRecordLimit, PartitionCursor, RecordBatch, plan_spans
from monitor.telemetry.metrics import Metrics
from tests.traces import line, trace
from tests.unit.memory import Bench, InMemoryCheckpoints, ScriptedSource, lines, no_replay

A, B = ("traces", 0), ("traces", 1)


def batch(values: dict[TopicPartition, dict[int, bytes]], starts: dict[TopicPartition, int]) -> RecordBatch:
    records = [
        Record(*partition, offset, None, value) for partition, row in values.items() for offset, value in row.items()
    ]
    return RecordBatch(records, {partition: PartitionCursor(start) for partition, start in starts.items()})


def test_a_span_starts_at_the_stored_offset_and_ends_after_the_last_record_whatever_the_gaps() -> None:
    given = batch({A: {7: b"", 9: b"", 12: b""}, B: {3: b""}}, {A: 5, B: 3})
    assert plan_spans(given, {}) == {A: Span(5, 13), B: Span(3, 4)}


def test_a_written_batch_moves_its_cursors_and_counts_its_outcomes() -> None:
    registry, bench = CollectorRegistry(), Bench(ScriptedSource({}))
    bench.store.offsets = {A: 0}
    given = batch({A: dict(enumerate([*lines(0, 1), b"{", *lines(0)]))}, {A: 0})
    assert bench.processor(Metrics(registry)).process(given) == {A: 4}
    assert given.cursors[A].next_offset == 4
    counted = {
        outcome: registry.get_sample_value("monitor_traces_total", {"outcome": outcome})
        for outcome in ("counted", "repeated", "duplicate", "invalid")
    }
    assert counted == {"counted": 2.0, "repeated": 0.0, "duplicate": 1.0, "invalid": 1.0}
    assert registry.get_sample_value("monitor_dead_letters_total", {"reason": "not_json"}) == 1.0


def test_while_the_dead_letter_topic_is_away_nothing_is_stored_and_each_answer_is_scored_once() -> None:
    class Counting:
        asked = 0

        def score(self, rows: Sequence[tuple[Sequence[Message], str]]) -> list[Reward | None]:
            self.asked += len(rows)
            return [None] * len(rows)

    model = Counting()
    bench = Bench(ScriptedSource({}), reward_model=model)
    bench.store.offsets, bench.store.away, bench.dead_letters.away = {A: 0}, 3, 5
    given = batch({A: dict(enumerate([*lines(0, 1), b"{"]))}, {A: 0})
    bench.processor(Metrics(CollectorRegistry())).process(given)
    assert model.asked == 2
    assert bench.dead_letters.away == bench.store.away == 0
    assert {record.offset for record, _ in bench.dead_letters.durable} == {2}


def test_a_batch_of_a_revoked_partition_stores_nothing_and_writes_no_dead_letter() -> None:
    bench = Bench(ScriptedSource({}))
    bench.store.offsets = {A: 0, B: 0}
    given = batch({A: {0: b"{"}, B: dict(enumerate(lines(0)))}, {A: 0, B: 0})
    given.cursors[A].revoked = True
    with pytest.raises(Fenced):
        bench.processor(Metrics(CollectorRegistry())).process(given)
    assert (bench.store.written, bench.dead_letters.durable) == ([], [])


def test_a_trace_stored_by_another_worker_between_look_up_and_write_is_found_by_the_next_look_up() -> None:
    class Raced(InMemoryCheckpoints):
        raced = False

        def write(self, checkpoint: Checkpoint) -> list[LabelOutcome]:
            if not self.raced:
                self.raced = True
                other = Bench(ScriptedSource({}), store=self)
                self.offsets |= {B: 0}
                other.processor(Metrics(CollectorRegistry())).process(batch({B: dict(enumerate(lines(1)))}, {B: 0}))
                raise DuplicateTrace("t-1")
            return super().write(checkpoint)

    bench = Bench(ScriptedSource({}), store=Raced())
    bench.store.offsets = {A: 0}
    bench.processor(Metrics(CollectorRegistry())).process(batch({A: dict(enumerate(lines(0, 1)))}, {A: 0}))
    assert bench.store.trace_ids == ["t-1", "t-0"]
    assert bench.store.written[1].duplicates == 1


def test_a_batch_that_is_prepared_while_the_one_before_is_stored_comes_to_the_same() -> None:
    asked = [dict(enumerate(lines(0, 1, 2))), dict(enumerate(lines(2, 3, 0, 4, 4), start=3))]
    asked[1][8] = line(trace(5, messages=trace(0).messages))  # the first one's prompt again
    bench, other = Bench(ScriptedSource({})), Bench(ScriptedSource({}))
    bench.store.offsets, other.store.offsets = {A: 0}, {A: 0}
    cursors = PartitionCursor(0), PartitionCursor(0)
    one_by_one, ahead = other.processor(Metrics(CollectorRegistry())), bench.processor(Metrics(CollectorRegistry()))
    first, second = (RecordBatch(batch({A: rows}, {A: 0}).records, {A: cursors[0]}) for rows in asked)
    prepared = [ahead.prepare(first), ahead.prepare(second)]
    assert prepared[1].checkpoint is not None
    for item in prepared:
        ahead.store_batch(item)
    for rows in asked:
        one_by_one.process(RecordBatch(batch({A: rows}, {A: 0}).records, {A: cursors[1]}))
    assert [written.observed.traces for written in bench.store.written] == [
        written.observed.traces for written in other.store.written
    ]
    assert [written.duplicates for written in bench.store.written] == [0, 3]
    assert [item.repeated for item in bench.store.written[1].observed.traces] == [False, False, True]
    assert bench.store.offsets == other.store.offsets == {A: 9}


def test_a_batch_that_was_prepared_on_one_that_is_not_stored_is_built_anew() -> None:
    bench = Bench(ScriptedSource({}))
    bench.store.offsets = {A: 5, B: 0}  # somebody else has stored the first records of one partition
    processor = bench.processor(Metrics(CollectorRegistry()))
    fenced = processor.prepare(batch({A: dict(enumerate(lines(0, 1)))}, {A: 0}))
    next_one = processor.prepare(batch({B: dict(enumerate(lines(1, 2)))}, {B: 0}))
    with pytest.raises(Fenced):
        processor.store_batch(fenced)
    assert processor.store_batch(next_one) == {B: 2}
    assert bench.store.trace_ids == ["t-1", "t-2"]


def test_too_many_bad_records_stop_the_worker_after_all_that_came_before_them() -> None:
    bench = Bench(ScriptedSource({}), limit=BadRecordLimit(max_run=3, max_ratio=0.9, is_own_replay=no_replay))
    bench.store.offsets = {A: 0}
    cursor = PartitionCursor(0)
    good = RecordBatch([Record(*A, 0, None, lines(0)[0]), Record(*A, 1, None, b"{")], {A: cursor})
    bad = RecordBatch([Record(*A, offset, None, b"{") for offset in (2, 3)], {A: cursor})
    processor = bench.processor(Metrics(CollectorRegistry()))
    prepared = [processor.prepare(good), processor.prepare(bad)]
    assert processor.store_batch(prepared[0]) == {A: 2}
    with pytest.raises(TooManyBadRecords, match="3 invalid records in a row"):  # the run goes on over batches
        processor.store_batch(prepared[1])
    assert {record.offset for record, _ in bench.dead_letters.durable} == {1}


def test_a_batch_ends_with_the_record_that_brings_too_many_traces_and_the_rest_follows() -> None:
    many = b"[" + b",".join(lines(0, 1, 2)) + b"]"
    values = [many, *lines(3), many, *lines(4, 5)]
    bench = Bench(ScriptedSource({}), max_traces=3)
    bench.store.offsets = {A: 0, B: 0}
    given = batch({A: dict(enumerate(values)), B: dict(enumerate(lines(6)))}, {A: 0, B: 0})
    assert bench.processor(Metrics(CollectorRegistry())).process(given) == {A: 5, B: 1}
    spans = [list(checkpoint.spans.items()) for checkpoint in bench.store.written]
    assert spans == [[(A, Span(0, 1))], [(A, Span(1, 3))], [(A, Span(3, 5)), (B, Span(0, 1))]]
