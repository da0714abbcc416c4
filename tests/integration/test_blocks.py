"""Blocks of labels in PostgreSQL: the same as in memory, whoever is killed or replaced on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, insert, select, text

from monitor.domain.label import Label
from monitor.domain.observation import LogEntry, Source, Subjects
from monitor.domain.review import ItemState, Queued
from monitor.errors import Fenced
from monitor.labels.block import BlockRule, Outcome, Settled
from monitor.labels.keeper import BlockKeeper, BlockStore, Cut
from monitor.offline.log import InMemoryLog
from monitor.postgres import blocks as block_queries
from monitor.postgres import label_span as span_queries
from monitor.postgres import schema
from monitor.postgres.blocks import PostgresBlocks
from monitor.postgres.engine import create_engine_for
from monitor.postgres.labels import insert_labels
from monitor.postgres.leader import Leadership
from monitor.postgres.log import append_entry
from monitor.postgres.retention import PostgresRetention, Retention
from monitor.postgres.streams import PostgresFoldStore
from monitor.review.criteria import DEFAULT
from monitor.signals.estimand import WIN_RATE
from tests.blocks import Told, WaitingBlocks, settle_all, told_in, traces

pytestmark = pytest.mark.postgres
RULE = BlockRule(traces=20)
OVER = replace(RULE, wait=timedelta(0))
TRACES = traces(400, disputed=0.4)
CLOCK = LogEntry(Source.CLOCK, Subjects((), np.empty(0, np.int64)))


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


class InDatabase:
    """A log, labels and a queue in PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.store = PostgresBlocks(engine)
        self.log = PostgresFoldStore(engine)

    def write(self, entry: LogEntry) -> None:
        with self.engine.begin() as connection:
            append_entry(connection, entry)
        self.log.place_entries()

    def label(self, labels: list[Label]) -> None:
        with self.engine.begin() as connection:
            insert_labels(connection, labels)

    def queue(self, trace_id: str, state: ItemState, wanted: int) -> None:
        item = {"trace_id": trace_id, "kind": WIN_RATE.kind, "state": state, "wanted": wanted, "probability": 0.2}
        with self.engine.begin() as connection:
            connection.execute(insert(schema.review_item).values(**item, counted=True, reason="floor"))

    def put_in_force(self, version: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("update criteria set active = false"))
            values = {"version": version, "text": "", "active": True, "created_by": "ada"}
            connection.execute(insert(schema.criteria).values(values))

    def settle(self, rule: BlockRule = RULE) -> None:
        settle_all(self.store, rule)
        self.log.place_entries()

    def told(self) -> Told:
        return told_in(self.log)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        with self.engine.begin() as connection:
            return sorted(tuple(row) for row in connection.execute(select(schema.metadata.tables[table])))

    def blocks(self) -> list[tuple[object, ...]]:
        left_out = {"estimand", "cut_at", "criteria_version", "entry_id", "settled_at"}
        columns = [column for column in schema.label_block.c if column.name not in left_out]
        query = select(*columns).where(schema.label_block.c.estimand == WIN_RATE.name).order_by("number")
        with self.engine.begin() as connection:
            return [tuple(row) for row in connection.execute(query)]


class InMemory:
    """The same in memory."""

    def __init__(self) -> None:
        self.log = InMemoryLog()
        self.store = WaitingBlocks(self.log)
        self.store.version = DEFAULT.version

    def write(self, entry: LogEntry) -> None:
        self.log.append(entry)

    def label(self, labels: list[Label]) -> None:
        self.store.labels += labels

    def queue(self, trace_id: str, state: ItemState, wanted: int) -> None:
        self.store.queue[trace_id] = Queued(state, wanted)

    def put_in_force(self, version: str) -> None:
        self.store.version = version

    def settle(self, rule: BlockRule = RULE) -> None:
        self.store.at = self.log.records[-1].at
        settle_all(self.store, rule)

    def told(self) -> Told:
        return told_in(self.log)

    def blocks(self) -> list[tuple[object, ...]]:
        settled = [
            (
                row.block.number,
                row.block.first_place,
                row.block.stop_place,
                row.outcome,
                len(row.items),
                sum(item.value is not None for item in row.rows),
                row.missing,
            )
            for row in self.store.settled.get(WIN_RATE.name, [])
        ]
        waiting = self.store.open_blocks(WIN_RATE.name, limit=10**6)
        return settled + [(row.number, row.first_place, row.stop_place, None, None, None, None) for row in waiting]


def story(site: InDatabase | InMemory) -> None:
    """Let labels come late, twice, by several annotators and never, under criteria that change."""
    drawn = TRACES.drawn()
    for entry in TRACES.entries(range(0, 200, 30))[:-1]:
        site.write(entry)
    site.settle()
    site.queue(f"t-{drawn[1]}", ItemState.OPEN, wanted=2)
    site.label(TRACES.labels_between(0, 100))
    site.settle()
    site.label([TRACES.label(drawn[1], label_id="second", annotator_id="bo", value=0.0)])
    site.label([TRACES.label(drawn[0], label_id="corrected", timestamp=TRACES.label(399).timestamp, value=0.5)])
    site.settle()
    site.queue(f"t-{next(row for row in drawn if row > 250)}", ItemState.MISSING, wanted=1)
    site.put_in_force("c-1")
    site.write(TRACES.entry(180, 400))
    site.label(TRACES.labels_between(100, 250, criteria_version="c-1"))
    site.label(TRACES.labels_between(280, 330, criteria_version="c-1"))
    site.label(TRACES.labels_between(330, 400, criteria_version="c-0"))
    site.settle()
    site.write(CLOCK)
    site.settle(OVER)


def test_blocks_in_a_database_are_those_in_memory(engine: Engine) -> None:
    stored, kept = InDatabase(engine), InMemory()
    story(stored)
    story(kept)
    assert stored.blocks() == kept.blocks()
    outcomes = [row[3] for row in kept.blocks()]
    assert set(outcomes) == {Outcome.MATURED, Outcome.MISSING}
    assert {series[2] for series in kept.told() if series[0] == WIN_RATE.name} == {DEFAULT.version, "c-1"}
    assert stored.told() == kept.told()
    settled = kept.store.settled[WIN_RATE.name]
    items = [tuple(asdict(item).values()) for row in settled for item in row.rows]
    assert stored.rows("label_item") == sorted(items)


class Killed(BaseException):
    pass


class Mortal:
    """A store whose process is killed before its call number *last*; between two calls lies one transaction's end."""

    def __init__(self, store: BlockStore, last: int, before: Callable[[], None]) -> None:
        self._store, self._left, self._before = store, last, before

    def __getattr__(self, name: str) -> Any:
        self._left -= 1
        if self._left == 0:
            self._before()
        return getattr(self._store, name)


def kill() -> None:
    raise Killed


def undisturbed(engine: Engine) -> InDatabase:
    site = InDatabase(engine)
    for entry in TRACES.entries(range(0, 400, 30)):
        site.write(entry)
    site.label(TRACES.labels())
    return site


def expected() -> InMemory:
    site = InMemory()
    for entry in TRACES.entries(range(0, 400, 30)):
        site.write(entry)
    site.label(TRACES.labels())
    site.settle()
    return site


def assert_whole(site: InDatabase) -> None:
    site.log.place_entries()
    wanted = expected()
    assert site.told() == wanted.told()
    assert site.blocks() == wanted.blocks()
    days = sum(day.items for row in wanted.store.settled[WIN_RATE.name] for day in row.days)
    assert sum(row[6] for row in site.rows("estimate_day")) == days
    assert len(site.rows("label_item")) == sum(len(row.rows) for row in wanted.store.settled[WIN_RATE.name])


def test_a_keeper_that_is_killed_between_any_two_steps_doubles_and_loses_nothing(engine: Engine) -> None:
    site = undisturbed(engine)
    for last in [*range(1, 40), 10**9]:
        store: Any = Mortal(site.store, last, kill)
        keeper = BlockKeeper(store, RULE)
        try:
            while keeper.turn():
                pass
        except Killed:
            continue
    assert_whole(site)


def test_a_leader_that_is_replaced_between_any_two_steps_is_fenced_and_doubles_nothing(
    engine: Engine, postgres_url: str
) -> None:
    site = undisturbed(engine)
    fenced = 0
    for last in [*range(1, 25), 10**9]:
        own = create_engine_for(postgres_url)
        leadership = Leadership(own)
        assert leadership.acquire()
        store: Any = Mortal(PostgresBlocks(leadership.fenced_engine()), last, lambda: take_over(engine))
        keeper = BlockKeeper(store, RULE)
        try:
            while keeper.turn():
                pass
        except Fenced:
            fenced += 1
        finally:
            leadership.release()
            own.dispose()
    assert fenced > 5
    assert_whole(site)


def test_a_block_that_another_settled_meanwhile_is_not_settled_again(engine: Engine) -> None:
    site = undisturbed(engine)

    class Overtaken(PostgresBlocks):
        def save_settled(self, estimand: str, cut: Cut, settled: Sequence[Settled], entry: LogEntry | None) -> None:
            settle_all(site.store, RULE)
            super().save_settled(estimand, cut, settled, entry)

    with pytest.raises(Fenced, match="block 1 of win_rate was settled meanwhile"):
        BlockKeeper(Overtaken(engine), RULE).turn()
    assert_whole(site)


def take_over(engine: Engine) -> None:
    """Let another replica lead, and end, while the first one still believes that it leads."""
    with engine.begin() as connection:
        connection.execute(text("update leader_lease set owner = 'another', session_lock = 0"))


def test_a_log_whose_beginning_is_forgotten_is_cut_into_blocks_all_the_same(engine: Engine) -> None:
    site = InDatabase(engine)
    for _ in range(450):
        site.write(CLOCK)
    with engine.begin() as connection:
        connection.execute(text("delete from log_entry"))
        connection.execute(text("alter sequence log_entry_entry_id_seq restart with 1000"))
    with engine.begin() as connection:
        append_entry(connection, CLOCK)
        connection.execute(text("update log_entry set sequence = 700, first_place = 5000"))
    site.write(TRACES.entry(0, 200))
    site.label(TRACES.labels())
    site.settle()
    assert len(site.blocks()) == TRACES.eligible[:200].sum() // RULE.traces
    assert {row[3] for row in site.blocks()} == {"matured"}


def test_a_turn_reads_a_bounded_part_of_the_log_and_says_that_there_is_more(engine: Engine) -> None:
    site = InDatabase(engine)
    with engine.begin() as connection:
        for _ in range(450):
            append_entry(connection, CLOCK)
    site.log.place_entries()
    keeper = BlockKeeper(site.store, RULE)
    assert [keeper.turn() for _ in range(5)] == [True, True, False, False, False]
    assert site.store.cut(WIN_RATE.name).next_sequence == 451


def test_a_trace_that_was_forgotten_and_came_again_stops_nobody(engine: Engine) -> None:
    site = InDatabase(engine)
    site.write(TRACES.entry(0, 200))
    site.write(TRACES.entry(0, 200))
    site.label(TRACES.labels_between(0, 200))
    site.settle()
    assert len(site.blocks()) == 2 * TRACES.eligible[:200].sum() // RULE.traces
    assert {row[3] for row in site.blocks()} == {"matured"}


def test_the_log_keeps_what_an_open_block_still_needs(engine: Engine) -> None:
    site = InDatabase(engine)
    for start in range(0, 400, 50):
        site.write(TRACES.entry(start, start + 50))
    site.label(TRACES.labels_between(0, 150))
    site.settle()
    first = site.store.open_blocks(WIN_RATE.name, limit=1)[0].first_place
    with engine.begin() as connection:
        values = {"created_by": "ada", "note": "", "active": True, "first_place": 400, "stop_place": 400, "content": {}}
        connection.execute(insert(schema.baseline).values(values))
        connection.execute(text("update log_entry set created_at = created_at - interval '50 days'"))
    forget = PostgresRetention(engine, Retention(text_days=0, trace_id_days=0, log_days=30)).tidy
    forget()
    with engine.begin() as connection:
        kept = list(connection.execute(text("select first_place from log_entry order by 1")).scalars())
    assert kept[0] <= first < kept[0] + 50
    site.label(TRACES.labels())
    site.settle()
    assert {row[3] for row in site.blocks()} == {"matured"}
    forget()
    with engine.begin() as connection:
        assert connection.execute(text("select min(first_place) from log_entry")).scalar_one() >= 400


def test_queries_about_blocks_go_by_indexes(engine: Engine) -> None:
    bounds = {"estimand": "win_rate", "place": 400_000}
    hot: list[tuple[object, dict[str, object], str]] = [
        (block_queries._ENTRIES, {"sequence": 4000, "limit": 10, "signals": ["a"]}, "uq_log_entry_sequence"),
        (block_queries._NOW, {}, "uq_log_entry_sequence"),
        (block_queries._QUEUED, {"trace_ids": ["t-1", "t-2"], "kind": "preference"}, "uq_review_item_trace_id"),
        (span_queries._FIRST, bounds, "ix_label_block_estimand_first_place"),
        (span_queries._STOP, bounds, "ix_label_block_estimand_first_place"),
        (span_queries._COUNTS, {"estimand": "win_rate", "first": 4900, "last": 5000}, "ix_label_item_number"),
    ]
    with engine.begin() as connection:
        for statement in FILL.split(";"):
            connection.execute(text(statement))
    with engine.begin() as connection:
        for query, values, index in hot:
            plan = "\n".join(connection.execute(text(f"explain {query}"), values).scalars())
            assert index in plan, plan
            assert not re.search("Seq Scan", plan), plan


FILL = """
insert into log_entry (source, places, sequence, first_place)
  select 'traces', 100, i, 100 * (i - 1) from generate_series(1, 5000) i;
insert into observation_batch select entry_id, signal, 'm', '1', '{}', '', '', '' from log_entry,
  unnest('{a,b,c}'::text[]) signal;
insert into review_item (trace_id, kind, probability, counted, reason, wanted)
  select 't-' || i, 'preference', 0.1, true, 'floor', 1 from generate_series(1, 5000) i;
insert into label_block (estimand, number, first_place, stop_place, cut_at, criteria_version, outcome, items, entry_id)
  select e, i, 100 * (i - 1), 100 * i, now(), '', 'matured', 64, i from generate_series(1, 5000) i,
  unnest('{win_rate,refusal_rate}'::text[]) e;
insert into label_item (estimand, trace_id, number, timestamp, policy_model, cohort, scorer_version, criteria_version,
  prediction, probability, value, annotators)
  select 'win_rate', 't-' || i, i, now(), 'm', 'c', 'e', '', 0.5, 0.1, 1, 1 from generate_series(1, 5000) i;
analyze log_entry;
analyze observation_batch;
analyze review_item;
analyze label_block;
analyze label_item
"""
