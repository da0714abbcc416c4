"""Parts of calls on their way from a batch of records to its checkpoint, and what waits between batches."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from monitor.ingest.decode import DecodeLimits
from monitor.ingest.join import JoinRules
from monitor.ingest.part import Part
from monitor.ingest.record import Record
from monitor.ingest.route import Rejected, RoutedBatch
from monitor.observe.cohorts import InMemoryCohortNames
from monitor.observe.step import ObserveRules
from monitor.pipeline.batch import BatchBuilder
from monitor.pipeline.checkpoint import Checkpoint
from monitor.pipeline.sweep import Sweep
from monitor.telemetry.metrics import Metrics
from tests.parts import NOW, bare, call, content
from tests.traces import trace
from tests.unit.memory import InMemoryCheckpoints

SHORT = DecodeLimits(max_response_characters=5, max_prompt_characters=100, max_future=timedelta(days=1))
TOO_LONG = "More than five."


class Bench:
    """A builder, a sweep and the store that both use."""

    def __init__(self) -> None:
        self.store = InMemoryCheckpoints()
        self.metrics = Metrics(CollectorRegistry())
        self.builder = BatchBuilder(
            ObserveRules(),
            self.store,
            InMemoryCohortNames(9),
            reward_model=lambda: None,
            metrics=self.metrics,
            joining=JoinRules(SHORT),
            clock=lambda: NOW,
        )
        self.sweep = Sweep(self.builder, self.store, self.metrics, max_fragments=100, clock=lambda: self.store.seconds)
        self.records = 0

    def read(self, *parts: Part, batch: RoutedBatch | None = None) -> tuple[Checkpoint, Record]:
        """Take one record that holds *parts*."""
        record = Record("spans", 0, self.records, None, b"")
        self.records += 1
        batch = batch or RoutedBatch()
        batch.parts.extend((part, record) for part in parts)
        checkpoint = self.builder.build(batch)
        self.store.write(checkpoint)
        return checkpoint, record

    def look(self, seconds: float) -> list[Checkpoint]:
        self.store.seconds += seconds
        return list(self.sweep.turn())


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_joined_calls_stand_beside_whole_traces_and_count_at_the_record_of_their_span(bench: Bench) -> None:
    _, span = bench.read(bare())
    whole = RoutedBatch(traces=[(trace(1, response="Yes."), Record("native", 2, 9, None, b""))])
    checkpoint, _ = bench.read(content(), batch=whole)
    assert [item.trace.trace_id for item in checkpoint.observed.traces] == ["t-1", "t-c"]
    assert checkpoint.positions == [("native", 2, 9), (span.topic, span.partition, span.offset)]
    assert len(checkpoint.done) == 1
    assert not bench.store.waiting


def test_an_unsound_call_is_the_dead_letter_of_the_record_that_holds_its_span(bench: Bench) -> None:
    checkpoint, record = bench.read(call(response=TOO_LONG), call("d"))
    (letter,) = checkpoint.rejected
    assert letter.record is record
    assert checkpoint.dead_letters == {"response_too_long": 1}
    assert bench.store.trace_ids == ["t-d"]


def test_a_record_with_two_unsound_calls_or_an_unsound_piece_beside_one_is_one_dead_letter(bench: Bench) -> None:
    checkpoint, _ = bench.read(call(response=TOO_LONG), call("d", response=TOO_LONG))
    assert checkpoint.dead_letters == {"response_too_long": 1}
    (letter,) = checkpoint.rejected
    again = RoutedBatch(rejected=[Rejected(letter.record, letter.invalid, letter.carries)])
    again.parts.append((call("e", response=TOO_LONG), letter.record))
    assert bench.builder.build(again).dead_letters == {"response_too_long": 1}


def test_an_unsound_call_whose_span_was_read_before_is_skipped(bench: Bench) -> None:
    bench.read(bare())
    checkpoint, _ = bench.read(content(response=TOO_LONG))
    assert (checkpoint.skipped, checkpoint.rejected) == ({"invalid_call": 1}, [])
    assert not bench.store.waiting


def test_a_second_look_stores_what_is_whole_and_leaves_the_rest(bench: Bench) -> None:
    bench.read(bare(), content("other"))
    assert bench.look(seconds=3) == []
    (checkpoint,) = bench.look(seconds=30)
    assert [item.trace.trace_id for item in checkpoint.observed.traces] == ["t-c"]
    assert checkpoint.spans == {}
    assert checkpoint.skipped == {"unjoined": 1}
    assert not bench.store.waiting
    assert bench.look(seconds=30) == []


def test_a_second_look_while_the_store_is_away_loses_nothing(bench: Bench) -> None:
    bench.read(bare())
    bench.store.away = 1
    assert bench.look(seconds=31) == []
    assert len(bench.look(seconds=31)) == 1
    assert bench.store.trace_ids == ["t-c"]
