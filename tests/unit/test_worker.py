"""The worker: back-pressure, fencing, revoked partitions, a store that is away, limits and the drain."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry

from monitor.domain.label import LabelOutcome
from monitor.errors import TooManyBadRecords, Unavailable
from monitor.ingest.letter import ATTEMPT, TOKEN
from monitor.ingest.offset import StartOffset, StoredOffset
from monitor.ingest.record import Record
from monitor.pipeline.checkpoint import Checkpoint
from monitor.pipeline.own_replays import OwnReplays
from monitor.pipeline.processor import PART, BadRecordLimit
from monitor.pipeline.worker import QUEUED_BATCHES, Assignment
from monitor.telemetry.health import Health
from monitor.telemetry.metrics import Metrics
from tests.traces import line, trace
from tests.unit.memory import WAIT_SECONDS, Bench, InMemoryCheckpoints, ScriptedSource, lines, no_replay, wait_for

A, B = ("traces", 0), ("traces", 1)


def ids(*numbers: int) -> list[str]:
    return [f"t-{number}" for number in numbers]


def all_stored(bench: Bench) -> bool:
    return bench.store.offsets == {partition: len(values) for partition, values in bench.source.log.items()}


def test_every_record_is_stored_once_in_order_and_its_offset_told_to_kafka() -> None:
    bench = Bench(ScriptedSource({A: lines(*range(95))}))
    with bench.running():
        wait_for(lambda: bench.source.committed == {A: 95}, "the last commit")
    assert bench.store.trace_ids == ids(*range(95))
    assert bench.source.closed
    assert bench.health.failure is None


def test_under_back_pressure_it_holds_one_batch_pauses_and_keeps_polling() -> None:
    bench = Bench(ScriptedSource({A: lines(*range(200))}))
    bench.store.open.clear()
    with bench.running():
        wait_for(lambda: bench.source.polls["paused"] > 20, "polls while paused")
        read = bench.source.positions[A]
        assert read <= 10 * (1 + QUEUED_BATCHES + 2)  # written, queued, held and cut next
        assert bench.store.written == []
        bench.store.open.set()
        wait_for(lambda: all_stored(bench), "the rest")
    assert bench.store.trace_ids == ids(*range(200))


def test_what_is_left_of_a_poll_is_no_batch_of_its_own_while_more_is_to_be_read() -> None:
    bench = Bench(ScriptedSource({A: lines(*range(210))}, poll_records=7), max_seconds=0.2)
    bench.store.open.clear()
    with bench.running():
        wait_for(lambda: bench.source.polls["paused"] > 10, "a batch that is held")
        time.sleep(0.3)
        bench.store.open.set()
        wait_for(lambda: all_stored(bench), "the rest")
    assert {len(checkpoint.observed.traces) for checkpoint in bench.store.written} == {10}


def test_records_of_many_traces_make_checkpoints_of_few_records_and_every_one_is_stored_once() -> None:
    values = [b"[" + b",".join(lines(*range(4 * number, 4 * number + 4))) + b"]" for number in range(50)]
    bench = Bench(ScriptedSource({A: values}), max_traces=8)
    with bench.running():
        wait_for(lambda: bench.source.committed == {A: 50}, "the last commit")
    assert bench.store.trace_ids == ids(*range(200))
    assert {len(checkpoint.observed.traces) for checkpoint in bench.store.written} == {8}


def test_a_batch_holds_no_more_bytes_than_it_may_and_a_larger_record_is_alone() -> None:
    small, large = lines(*range(40)), line(trace(40), response="x" * 5000)
    bench = Bench(ScriptedSource({A: [*small, large, *lines(*range(41, 50))]}), max_bytes=4 * len(small[-1]))
    with bench.running():
        wait_for(lambda: bench.source.committed == {A: 50}, "the last commit")
    held = [[item.trace.trace_id for item in checkpoint.observed.traces] for checkpoint in bench.store.written]
    assert max(map(len, held)) == 4
    assert ids(40) in held
    assert bench.store.trace_ids == ids(*range(50))


def test_a_stop_amid_a_parted_batch_stores_what_was_read() -> None:
    values = [b"[" + b",".join(lines(*range(4 * number, 4 * number + 4))) + b"]" for number in range(10)]
    bench = Bench(ScriptedSource({A: values}), max_traces=4)
    bench.store.open.clear()
    with bench.running() as stop:
        assert bench.store.entered.acquire(timeout=WAIT_SECONDS)
        stop.set()
        bench.store.open.set()
    assert bench.store.trace_ids == ids(*range(40))
    assert bench.store.offsets == {A: 10}


@pytest.mark.parametrize("max_traces", [None, 3], ids=["whole batches", "parted batches"])
@pytest.mark.parametrize("fenced", [60, 5], ids=["both partitions go on", "the fenced partition has no more records"])
def test_after_a_fence_nothing_read_later_is_stored_without_what_came_before_it(
    fenced: int, max_traces: int | None
) -> None:
    log = {A: lines(*range(fenced)), B: lines(*range(100, 160))}
    bench = Bench(ScriptedSource(log, poll_records=5), max_traces=max_traces)
    bench.store.open.clear()
    with bench.running():
        assert bench.store.entered.acquire(timeout=WAIT_SECONDS)
        wait_for(lambda: bench.source.polls["paused"] > 3, "a full queue behind the first batch")
        bench.store.offsets[A] = 3  # somebody else stored the first three records of one partition
        bench.store.open.set()
        wait_for(lambda: all_stored(bench), "the rest")
    stored = bench.store.trace_ids
    assert [name for name in stored if name in ids(*range(60))] == ids(*range(3, fenced))
    assert [name for name in stored if name in ids(*range(100, 160))] == ids(*range(100, 160))
    assert bench.source.restarts == 1


def test_a_batch_that_spans_a_revoked_partition_is_read_again_where_it_is_still_owned() -> None:
    bench = Bench(ScriptedSource({A: lines(*range(30)), B: lines(*range(100, 130))}, poll_records=5))
    bench.store.open.clear()
    with bench.running():
        assert bench.store.entered.acquire(timeout=WAIT_SECONDS)
        wait_for(lambda: bench.source.polls["paused"] > 3, "a full queue behind the first batch")
        bench.source.revoke(B)
        wait_for(lambda: not bench.source.events, "the revocation")
        bench.store.open.set()
        wait_for(lambda: bench.store.offsets[A] == 30, "the partition that is left")
        written = bench.store.offsets[B]
        assert written <= 5  # what was in flight when it was taken away
        bench.source.assign(B)
        wait_for(lambda: all_stored(bench), "the partition that came back")
    assert sorted(bench.store.trace_ids) == sorted(ids(*range(30), *range(100, 130)))


def test_partitions_that_leave_and_come_back_at_once_are_read_on_without_a_rejoin() -> None:
    bench = Bench(ScriptedSource({A: lines(*range(60))}))
    bench.store.open.clear()
    with bench.running():
        assert bench.store.entered.acquire(timeout=WAIT_SECONDS)
        wait_for(lambda: bench.source.polls["paused"] > 3, "a full queue behind the first batch")
        bench.store.away = 1  # so that the batch in flight is looked at again, after the revocation
        bench.source.revoke(A)
        bench.source.assign(A)
        wait_for(lambda: not bench.source.events, "the rebalance")
        bench.store.open.set()
        wait_for(lambda: all_stored(bench), "all of it")
    assert bench.store.trace_ids == ids(*range(60))
    assert bench.source.restarts == 0


def test_while_the_store_is_away_it_is_not_ready_and_then_nothing_is_lost_or_doubled() -> None:
    bench = Bench(ScriptedSource({A: lines(*range(50))}))
    bench.store.away = 10**9
    with bench.running():
        wait_for(lambda: "away" in bench.health.ready()[1][PART], "a worker that is not ready")
        bench.store.away = 3
        wait_for(lambda: all_stored(bench), "all of it")
        wait_for(lambda: bench.health.ready()[0], "readiness")
    assert bench.store.trace_ids == ids(*range(50))


def test_a_checkpoint_whose_answer_was_lost_is_not_stored_again() -> None:
    class LosesAnAnswer(InMemoryCheckpoints):
        lost = False

        def write(self, checkpoint: Checkpoint) -> list[LabelOutcome]:
            labelled = super().write(checkpoint)
            if not self.lost:
                self.lost = True
                raise Unavailable("the connection broke after the commit")
            return labelled

    bench = Bench(ScriptedSource({A: lines(*range(40))}), store=LosesAnAnswer())
    with bench.running():
        wait_for(lambda: all_stored(bench), "all of it")
    assert bench.store.trace_ids == ids(*range(40))


def test_records_lost_before_they_were_read_are_counted_once_however_often_the_worker_rejoins() -> None:
    registry = CollectorRegistry()
    assignment = Assignment(InMemoryCheckpoints(), Metrics(registry))
    for _ in range(3):
        assignment.on_started({A: StartOffset(40, stored=10), B: StartOffset(0, stored=10, replaced=True)})
        assignment.drop_all()
    counted = [
        registry.get_sample_value(f"monitor_{name}_total", {"topic": "traces"})
        for name in ("lost_records", "replaced_logs")
    ]
    assert counted == [30.0, 1.0]


def test_a_group_that_cannot_be_joined_yet_is_waited_for() -> None:
    source = ScriptedSource({A: lines(*range(5))})
    bench, opened = Bench(source), source.open
    refusals = [Unavailable("no broker")] * 3

    def refuse_first(assignment: object) -> ScriptedSource:
        if refusals:
            raise refusals.pop()
        return opened(assignment)  # type: ignore[arg-type]

    source.open = refuse_first  # type: ignore[method-assign]
    with bench.running():
        wait_for(lambda: all_stored(bench), "all of it")
    assert bench.health.failure is None


def test_the_lag_is_unknown_while_no_broker_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.pipeline.worker.LAG_SECONDS", 0.0)
    bench = Bench(ScriptedSource({A: lines(*range(5))}))
    worker = bench.worker()
    monkeypatch.setattr(bench, "worker", lambda: worker)

    def refuse() -> dict[tuple[str, int], int]:
        raise Unavailable("no broker")

    with bench.running():
        wait_for(lambda: worker.lag_records == 0, "the lag")
        bench.source.lag = refuse  # type: ignore[method-assign]
        wait_for(lambda: worker.lag_records is None, "that it is not known")


def test_a_bad_record_is_durable_in_the_dead_letters_before_the_offset_that_skips_it() -> None:
    class ChecksLetters(InMemoryCheckpoints):
        def write(self, checkpoint: Checkpoint) -> list[LabelOutcome]:
            assert [record.offset for record, _ in bench.dead_letters.durable] == [1]
            return super().write(checkpoint)

    values = [*lines(0), b"garbage", *lines(1, 0)]
    bench = Bench(ScriptedSource({A: values}), store=ChecksLetters())
    with bench.running():
        wait_for(lambda: all_stored(bench), "all of it")
    (checkpoint,) = bench.store.written
    assert (checkpoint.dead_letters, checkpoint.duplicates) == ({"not_json": 1}, 1)
    assert bench.store.trace_ids == ids(0, 1)
    assert checkpoint.positions == [("traces", 0, 0), ("traces", 0, 2)]


def test_a_run_of_bad_records_past_the_limit_ends_the_worker_with_nothing_of_its_batch_stored() -> None:
    bench = Bench(ScriptedSource({A: [*lines(*range(15)), *[b"{"] * 25]}))
    bench.limit = BadRecordLimit(max_run=20, max_ratio=1.0, is_own_replay=no_replay)
    with bench.running():
        failure = bench.health.wait(WAIT_SECONDS)
    assert failure is not None
    assert isinstance(failure.exception, TooManyBadRecords)
    assert bench.store.offsets == {A: 30}
    assert [record.offset for record, _ in bench.dead_letters.durable] == list(range(15, 30))


def test_a_run_of_bad_records_is_not_begun_again_by_a_restart_and_a_larger_limit_lets_it_pass() -> None:
    log = {A: [*lines(*range(15)), *[b"{"] * 60, *lines(99)]}
    store = InMemoryCheckpoints()
    for _ in range(3):
        bench = Bench(ScriptedSource(log), store=store)
        bench.limit = BadRecordLimit(max_run=20, max_ratio=1.0, is_own_replay=no_replay)
        with bench.running():
            failure = bench.health.wait(WAIT_SECONDS)
        assert failure is not None
        assert "start with a larger ingest.max_bad_run" in str(failure.exception)
        assert store.offsets == {A: 30}
    bench = Bench(ScriptedSource(log), store=store)
    bench.limit = BadRecordLimit(max_run=1000, max_ratio=1.0, is_own_replay=no_replay)
    with bench.running():
        wait_for(lambda: all_stored(bench), "the rest")
    assert store.bad_runs == {A: 0}


def test_a_store_that_lost_its_last_commits_is_noticed_without_a_new_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.pipeline.worker.COMPARE_SECONDS", 0.02)
    bench = Bench(ScriptedSource({A: lines(*range(40))}))
    with bench.running():
        wait_for(lambda: all_stored(bench), "all of it")
        wait_for(lambda: bench.source.committed == {A: 40}, "the last commit")
        bench.store.set_back({A: 20})
        wait_for(lambda: all_stored(bench), "what was lost")
    assert bench.store.trace_ids == ids(*range(40))
    assert bench.health.failure is None


def test_a_store_that_hangs_while_nothing_is_read_keeps_no_broker_from_being_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("monitor.pipeline.worker.COMPARE_SECONDS", 0.02)
    now = 0.0
    bench = Bench(ScriptedSource({A: lines(*range(5))}), health=Health((PART,), clock=lambda: now))
    hangs, let_go = threading.Event(), threading.Event()

    def stored_offsets() -> dict[tuple[str, int], StoredOffset]:
        hangs.set()
        assert let_go.wait(WAIT_SECONDS)
        return InMemoryCheckpoints.stored_offsets(bench.store)

    with bench.running():
        wait_for(lambda: all_stored(bench), "the first records")
        bench.store.stored_offsets = stored_offsets  # type: ignore[method-assign]
        assert hangs.wait(WAIT_SECONDS)
        polled = bench.source.polls["reading"]
        wait_for(lambda: bench.source.polls["reading"] > polled + 3, "brokers that are asked")
        now = 31.0
        reasons = bench.health.ready()[1]
        let_go.set()
    assert reasons["batch"] == "asking PostgreSQL for the offsets: not done after 31 s"


@pytest.mark.parametrize("hanging", ["the store", "the broker"])
def test_a_thread_that_hangs_inside_a_call_makes_the_process_not_ready(hanging: str) -> None:
    now = 0.0
    bench = Bench(ScriptedSource({A: lines(*range(5))}), health=Health((PART,), clock=lambda: now))
    let_go = threading.Event()
    with bench.running():
        wait_for(lambda: all_stored(bench), "the first records")
        wait_for(lambda: bench.health.ready()[0], "readiness")
        if hanging == "the store":
            bench.store.open.clear()
            bench.source.events.append(lambda: bench.source.log[A].extend(lines(6)))
            assert bench.store.entered.acquire(timeout=WAIT_SECONDS)
            assert bench.store.entered.acquire(timeout=WAIT_SECONDS)
        else:
            bench.source.events.append(lambda: assert_set(let_go))
            wait_for(lambda: not bench.source.events, "a poll that hangs")
        now = 31.0
        ready, reasons = bench.health.ready()
        let_go.set()
        bench.store.open.set()
    stuck = {
        "the store": {"batch": "storing a batch: not done after 31 s"},
        "the broker": {"poll": "asking Kafka, or PostgreSQL for the offsets: not done after 31 s"},
    }
    assert not ready
    assert reasons | stuck[hanging] == reasons


def test_on_a_stop_everything_read_is_stored_before_it_leaves_and_nothing_more_is_read() -> None:
    bench = Bench(ScriptedSource({A: lines(*range(500))}))
    bench.store.open.clear()
    with bench.running() as stop:
        wait_for(lambda: bench.source.polls["paused"] > 3, "a full queue")
        stop.set()
        bench.store.open.set()
    assert bench.store.offsets == {A: bench.source.log[A].index(line(trace(len(bench.store.trace_ids))))}
    assert bench.store.trace_ids == ids(*range(bench.store.offsets[A]))
    assert bench.source.committed == bench.store.offsets
    assert bench.source.closed


def test_a_drain_that_takes_too_long_is_given_up() -> None:
    bench = Bench(ScriptedSource({A: lines(*range(50))}), drain_seconds=0.05)
    bench.store.away = 10**9
    with bench.running():
        wait_for(lambda: "away" in bench.health.ready()[1][PART], "a store that is away")
    assert bench.store.written == []
    assert bench.source.closed
    wait_for(lambda: not any(thread.name == "processor" for thread in threading.enumerate()), "the processor's end")


@pytest.mark.parametrize(
    ("outcomes", "refused"),
    [([True] * 5, True), ([True, True, True, True, False] * 20, False)],
    ids=["five in a row", "never five in a row"],
)
def test_the_run_of_bad_records_is_counted_over_neighbours(outcomes: list[bool], refused: bool) -> None:
    limit = BadRecordLimit(max_run=5, max_ratio=1.0, is_own_replay=no_replay)
    if refused:
        with pytest.raises(TooManyBadRecords, match="max_bad_run"):
            add_all(limit, outcomes)
    else:
        add_all(limit, outcomes)


def test_the_share_of_bad_records_is_taken_over_the_last_ten_thousand() -> None:
    limit = BadRecordLimit(max_run=10**9, max_ratio=0.5, is_own_replay=no_replay)
    add_all(limit, [True, False] * 5000)
    with pytest.raises(TooManyBadRecords, match=r"5001 of the last 10000 .*max_bad_ratio = 0\.5"):
        add_all(limit, [True, True])


def replayed(offset: int, token: bytes = b"7-ab") -> Record:
    return Record("traces", 0, offset, None, None, ((ATTEMPT, b"1"), (TOKEN, token)))


def test_what_our_own_replay_wrote_counts_for_neither_limit_where_it_is_bad_again() -> None:
    limit = BadRecordLimit(max_run=5, max_ratio=0.1, is_own_replay=OwnReplays(lambda _: {"traces": 20_000}).claim)
    for _ in range(2):  # and when it is read again
        assert [limit.add(replayed(offset), 3, bad=True) for offset in range(20_000)] == [3] * 20_000
    assert limit.add(replayed(0), 3, bad=False) == 0
    with pytest.raises(TooManyBadRecords, match="max_bad_run"):
        add_all(limit, [True] * 5)


@pytest.mark.parametrize(
    ("written", "token", "passed"),
    [
        ({}, b"7-ab", 0),
        ({"traces": 9}, b"", 0),
        ({"traces": 9}, b"\xff", 0),
        ({"traces": 9}, b"7" * 99, 0),
        ({"other": 9}, b"7-ab", 0),
        ({"traces": 2}, b"7-ab", 2),
    ],
    ids=["unknown", "empty", "no text", "too long", "of another topic", "copied from two records"],
)
def test_a_record_that_only_says_that_it_is_replayed_counts(written: dict[str, int], token: bytes, passed: int) -> None:
    limit = BadRecordLimit(max_run=5, max_ratio=1.0, is_own_replay=OwnReplays(lambda _: written).claim)
    run = 0
    for offset in range(4 + passed):
        run = limit.add(replayed(offset, token), run, bad=True)
    assert run == 4
    with pytest.raises(TooManyBadRecords, match="max_bad_run"):
        limit.add(replayed(4 + passed, token), run, bad=True)


def test_while_the_database_is_away_nobody_is_stopped_for_a_replay_and_then_it_is_asked() -> None:
    is_away = iter([True, False])

    def written(_token: str) -> Mapping[str, int]:
        if next(is_away):
            raise Unavailable("away")
        return {"traces": 1}

    own = OwnReplays(written)
    assert [own.claim(replayed(offset)) for offset in range(3)] == [True, True, False]


def assert_set(event: threading.Event) -> None:
    assert event.wait(WAIT_SECONDS)


def add_all(limit: BadRecordLimit, outcomes: list[bool]) -> None:
    run = 0
    for bad in outcomes:
        run = limit.add(Record("traces", 0, 0, None, None), run, bad=bad)
