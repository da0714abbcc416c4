"""Parts that wait in a real PostgreSQL: with their offsets or not at all, joined once, whoever holds the other half."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text

from monitor.errors import Fenced
from monitor.ingest.join import JoinRules
from monitor.ingest.offset import StoredOffset
from monitor.ingest.outcome import SkipReason
from monitor.ingest.part import Part
from monitor.ingest.record import Record
from monitor.ingest.route import RoutedBatch
from monitor.observe.step import ObserveRules
from monitor.pipeline.batch import BatchBuilder
from monitor.pipeline.checkpoint import Checkpoint, DuplicateTrace, Span
from monitor.pipeline.sweep import Sweep
from monitor.postgres import fragments
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.copy import driver_of
from monitor.telemetry.metrics import Metrics
from tests.parts import LIMITS, NOW, bare, call, content, context

pytestmark = pytest.mark.postgres
ASKER = {"conversation_id": "chat", "user_id": "anna"}


class Worker:
    """The half of a worker that joins and stores: a topic of its own, and a database that all share."""

    def __init__(self, engine: Engine, topic: str, *, max_fragments: int = 1000) -> None:
        self.store = PostgresCheckpoints(engine, group_id="group", max_cohorts=50, patience_seconds=30.0)
        self.topic = topic
        self.offset = 0
        self.metrics = Metrics(CollectorRegistry())
        self.seconds = 0.0
        self.builder = BatchBuilder(
            ObserveRules(),
            self.store,
            self.store,
            reward_model=lambda: None,
            metrics=self.metrics,
            joining=JoinRules(LIMITS),
            clock=lambda: NOW,
        )
        self.sweep = Sweep(
            self.builder, self.store, self.metrics, max_fragments=max_fragments, clock=lambda: self.seconds
        )
        self.store.begin({(topic, 0): StoredOffset(0)})

    def build(self, *parts: Part) -> Checkpoint:
        record = Record(self.topic, 0, self.offset, None, b"")
        spans = {(self.topic, 0): Span(self.offset, self.offset + 1)}
        return self.builder.build(RoutedBatch(parts=[(part, record) for part in parts]), spans)

    def read(self, *parts: Part) -> Checkpoint:
        """Take one record with *parts*."""
        checkpoint = self.build(*parts)
        self.store.write(checkpoint)
        self.offset += 1
        return checkpoint

    def look(self) -> list[Checkpoint]:
        self.seconds += 10
        return list(self.sweep.turn())


@pytest.fixture
def spans(engine: Engine) -> Worker:
    return Worker(engine, "spans")


@pytest.fixture
def logs(engine: Engine) -> Worker:
    return Worker(engine, "logs")


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.begin() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def waiting(engine: Engine) -> int:
    return int(rows(engine, "select count(*) from fragment")[0][0])


def traces(engine: Engine) -> list[tuple[Any, ...]]:
    return rows(engine, "select trace_id, response, conversation_id, topic from trace order by trace_id")


def later(engine: Engine, seconds: float) -> None:
    with engine.begin() as connection:
        moved = "update fragment set received_at = received_at - i, due_at = due_at - i"
        connection.execute(text(f"{moved} from make_interval(secs => :seconds) i"), {"seconds": seconds})


def test_a_span_that_waits_is_joined_with_its_texts_wherever_they_are_read(
    engine: Engine, spans: Worker, logs: Worker
) -> None:
    spans.read(bare(parent="p"), context("p", **ASKER))
    assert (waiting(engine), traces(engine)) == (2, [])
    logs.read(content())
    assert traces(engine) == [("t-c", "A.", "chat", "spans")]
    later(engine, 31)
    spans.look()
    assert waiting(engine) == 0
    assert logs.store.stored_offsets()["logs", 0].next_offset == 1


def test_a_call_that_is_whole_in_its_record_touches_no_fragment(engine: Engine, spans: Worker) -> None:
    spans.read(call(parent="p"), context("p", **ASKER))
    assert traces(engine) == [("t-c", "A.", "chat", "spans")]
    assert rows(engine, "select last_value, is_called from fragment_fragment_id_seq") == [(1, False)]


def test_parts_wait_in_the_transaction_of_their_offsets_or_not_at_all(engine: Engine, spans: Worker) -> None:
    stale = spans.build(bare())
    spans.read(call("d"))
    with pytest.raises(Fenced):
        spans.store.write(stale)
    assert waiting(engine) == 0


@pytest.mark.parametrize("first", ["spans", "logs"])
def test_halves_that_two_workers_store_at_the_same_time_meet_two_seconds_later_in_one_trace(
    engine: Engine, spans: Worker, logs: Worker, first: str
) -> None:
    halves = [(spans, spans.build(bare())), (logs, logs.build(content()))]  # neither sees the other's
    for worker, checkpoint in halves if first == "spans" else reversed(halves):
        worker.store.write(checkpoint)
    assert (waiting(engine), spans.look()) == (2, [])
    later(engine, 2.1)
    stored = [*logs.look(), *spans.look()]
    assert len(stored) == 1
    assert traces(engine) == [("t-c", "A.", None, "spans")]
    assert waiting(engine) == 0


def test_two_workers_that_join_one_call_at_the_same_time_store_it_once(
    engine: Engine, spans: Worker, logs: Worker
) -> None:
    spans.read(bare())
    one, other = spans.build(content()), logs.build(content())
    spans.store.write(one)
    with pytest.raises(DuplicateTrace):
        logs.store.write(other)
    assert logs.read(content()).duplicates == 1
    assert [row[0] for row in traces(engine)] == ["t-c"]
    assert waiting(engine) == 0


def test_a_second_look_that_comes_too_late_finds_the_call_stored(engine: Engine, spans: Worker, logs: Worker) -> None:
    spans.read(bare())
    later(engine, 31)
    claimed = spans.store.due_parts(0)
    logs.read(content())  # in between
    late = spans.builder.build_waiting(claimed)
    assert late is not None
    spans.store.write(late)
    assert (late.duplicates, late.observed.traces) == (1, ())
    spans.look()
    assert [row[:2] for row in traces(engine)] == [("t-c", "A.")]
    assert waiting(engine) == 0


def test_a_part_whose_partner_never_comes_ends_after_its_time_by_the_databases_clock(
    engine: Engine, spans: Worker, logs: Worker
) -> None:
    spans.read(bare(parent="lost"))
    logs.read(content("other"), content("told", model="phi-2"))
    later(engine, 29)
    assert spans.look() == []
    later(engine, 2)
    (checkpoint,) = spans.look()
    assert checkpoint.skipped == {SkipReason.UNJOINED: 1}
    assert checkpoint.incomplete == {"text": 1, "parent": 1, "span": 1}
    assert [row[:2] for row in traces(engine)] == [("t-c", None), ("t-told", "A.")]
    assert waiting(engine) == 0
    assert rows(engine, "select skipped from checkpoint order by entry_id desc limit 1") == [({"unjoined": 1},)]


def test_what_a_worker_claimed_and_left_is_looked_at_by_another_after_the_lease(
    engine: Engine, spans: Worker, logs: Worker
) -> None:
    spans.read(bare())
    later(engine, 31)
    assert spans.store.due_parts(0).parts  # and is killed
    assert logs.look() == []
    later(engine, fragments.LEASE_SECONDS + 1)
    assert len(logs.look()) == 1
    assert [row[0] for row in traces(engine)] == ["t-c"]


def test_beyond_the_bound_the_oldest_calls_are_taken_as_they_are(engine: Engine) -> None:
    worker = Worker(engine, "spans", max_fragments=3)
    for number in range(8):
        worker.read(bare(trace=f"t{number}"))
    assert len(worker.look()) == 1
    assert [row[0] for row in traces(engine)] == [f"t{number}-c" for number in range(5)]
    assert worker.look() == []
    assert waiting(engine) == 3


def test_a_span_inside_of_a_stored_call_is_known_by_its_own_name(engine: Engine, spans: Worker, logs: Worker) -> None:
    spans.read(call(), call("i", parent="c"))
    spans.read(call("j", parent="i"))
    assert logs.read(content("i", model="phi-2"), content("j", model="phi-2")).duplicates == 2
    assert rows(engine, "select trace_id, ordinal from stored_trace order by 1") == [("t-c", 0), ("t-i", 0), ("t-j", 0)]
    assert [row[0] for row in traces(engine)] == ["t-c"]


def test_what_waits_is_counted(engine: Engine, spans: Worker) -> None:
    spans.read(bare(parent="p"), context("p"))
    later(engine, 12)
    waits, oldest_seconds = spans.store.count_waiting()
    assert waits == 2
    assert oldest_seconds == pytest.approx(12, abs=5)


def test_the_queries_of_parts_find_their_rows_by_an_index(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into fragment (trace, due_at, topic, partition, record_offset, part)"
                " select n::text, now() + interval '1 hour', 't', 0, n, '' from generate_series(1, 20000) n"
            )
        )
    with engine.begin() as connection:
        connection.execute(text("analyze fragment"))
        hot: Sequence[tuple[str, list[object], str]] = [
            (fragments._PARTS, [["5", "7"]], "ix_fragment_trace"),
            (fragments._CLAIM, [30.0, 30.0, 30.0, 100], "ix_fragment_due_at"),
            (fragments._DELETE, [[5, 7]], "pk_fragment"),
            (fragments._OLDEST, [30.0, 10], "pk_fragment"),
        ]
        for query, values, index in hot:
            plan = "\n".join(row[0] for row in driver_of(connection).execute(f"explain {query}".encode(), values))
            assert index in plan, plan
