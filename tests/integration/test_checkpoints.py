"""Checkpoints in a real PostgreSQL: all or nothing, fenced, and counted once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from monitor.domain.cohort import OTHER
from monitor.domain.score import Reward
from monitor.domain.trace import Message, Preference
from monitor.errors import Fenced, Unavailable
from monitor.ingest.offset import StoredOffset
from monitor.ingest.record import TopicPartition
from monitor.observe.repeat import mark_repeats
from monitor.pipeline.checkpoint import DuplicateTrace, Span
from monitor.postgres import log as postgres_log
from monitor.postgres import streams
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from monitor.postgres.views import overview
from tests.labels import label
from tests.traces import START, checkpoint, observed, scored, trace

pytestmark = pytest.mark.postgres
TABLES = (
    "log_entry",
    "checkpoint",
    "log_subject",
    "observation_batch",
    "label",
    "stored_trace",
    "trace",
    "score",
    "repeat_key",
    "preference",
)
PARTITION = ("traces", 0)
PREFERENCE = Preference("p-1", START, (Message("user", "Which?"),), "This.", "That.")


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> PostgresCheckpoints:
    store = a_store(engine)
    store.begin({PARTITION: StoredOffset(0), ("traces", 1): StoredOffset(0)})
    return store


def a_store(engine: Engine, max_cohorts: int = 50) -> PostgresCheckpoints:
    return PostgresCheckpoints(engine, group_id="group", max_cohorts=max_cohorts)


def next_offsets(store: PostgresCheckpoints) -> dict[TopicPartition, int]:
    return {partition: stored.next_offset for partition, stored in store.stored_offsets().items()}


def counts(engine: Engine) -> dict[str, int]:
    with engine.begin() as connection:
        return {table: connection.execute(text(f"select count(*) from {table}")).scalar_one() for table in TABLES}  # noqa: S608


def test_a_checkpoint_makes_everything_in_it_true_together(engine: Engine, store: PostgresCheckpoints) -> None:
    rewards = [Reward("v1", (0.5, 1.5), 1.0, 0.5, 0.5)] * 3
    items = scored([trace(number) for number in range(3)], rewards=rewards)
    preferences = [(replace(PREFERENCE, trace_id="t-1"), "none")]
    letters = {"not_json": 2}
    store.write(checkpoint(items, preferences=preferences, labels=[label()], dead_letters=letters, duplicates=1))
    signals = 5  # length, refusal, truncation, error, reward
    wanted = dict.fromkeys(TABLES, 3) | {
        "log_entry": 1,
        "checkpoint": 1,
        "log_subject": 1,
        "observation_batch": signals + 1,
        "preference": 1,
        "label": 1,
    }
    assert counts(engine) == wanted
    with engine.begin() as connection:
        assert connection.execute(text("select trace_id from preference")).scalars().all() == ["t-1"]
    assert next_offsets(store) == {PARTITION: 3, ("traces", 1): 0}


def test_placing_raises_the_totals_and_counts_a_preference_or_a_label_that_came_twice_once(
    engine: Engine, store: PostgresCheckpoints
) -> None:
    said = [label(1), label(1), label(2, annotator_id="a-1", value=0.0)]
    became = iter([["stored", "known", "corrected"], ["known"] * 3])
    for number in range(2):
        read = checkpoint(scored([trace(number)], repeated=bool(number)), start=number, duplicates=number)
        again = {"preferences": [(PREFERENCE, "none")], "dead_letters": {"not_json": 2}, "skipped": {"other_span": 3}}
        assert store.write(replace(read, **again, labels=said)) == next(became)  # type: ignore[arg-type]
    with engine.begin() as connection:
        before = totals(connection)
        postgres_log.place_entries(connection)
        postgres_log.place_entries(connection)
        after = totals(connection)
    assert before == {}
    assert after == {
        ("traces", ""): 2,
        ("repeats", ""): 1,
        ("duplicates", ""): 1,
        ("preferences", ""): 1,
        ("labels", ""): 2,
        ("dead_letters", "not_json"): 4,
        ("skipped", "other_span"): 6,
        ("last_timestamp", ""): int(trace(1).timestamp.timestamp() * 1e6),
    }


def test_the_overview_counts_what_waits_for_its_place_and_what_has_it_once(
    engine: Engine, store: PostgresCheckpoints
) -> None:
    view = overview.PostgresOverview(engine, kafka_lag=lambda: 7)
    for number in range(2):
        read = checkpoint(scored([trace(number)]), start=number, dead_letters={"not_json": 1})
        store.write(replace(read, skipped={"other_span": 2}))
        with engine.begin() as connection:
            seen = view.overview()
            postgres_log.place_entries(connection)
        assert seen == view.overview()
    assert (seen.traces, seen.dead_letters, seen.skipped) == (2, {"not_json": 2}, {"other_span": 4})
    assert (seen.last_timestamp, seen.kafka_lag_records) == (trace(1).timestamp, 7)


def totals(connection: Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute(text("select name, label, value from running_total"))
    return {(row.name, row.label): row.value for row in rows}


@pytest.mark.parametrize("table", TABLES[1:])
def test_a_failure_at_any_table_leaves_nothing_of_the_checkpoint(
    engine: Engine, store: PostgresCheckpoints, table: str
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("create function refuse() returns trigger as 'begin raise ''disk''; end' language plpgsql")
        )
        connection.execute(text(f"create trigger refuse after insert on {table} execute function refuse()"))
    items = scored([trace(0)], rewards=[Reward("v1", (0.5,), 0.5, 0.5, 0.0)])
    with pytest.raises(Exception, match="disk"):
        store.write(checkpoint(items, preferences=[(PREFERENCE, "none")], labels=[label()]))
    assert set(counts(engine).values()) == {0}
    assert next_offsets(store)[PARTITION] == 0


def test_a_row_without_a_topic_id_takes_the_present_one_and_another_is_kept_until_a_checkpoint(
    store: PostgresCheckpoints,
) -> None:
    for topic_id in ("first", "second"):
        store.begin({PARTITION: StoredOffset(7, topic_id)})
        assert store.stored_offsets()[PARTITION] == StoredOffset(0, "first")
    store.write(checkpoint(scored([trace(0)]), spans={PARTITION: Span(0, 1, "second", leader_epoch=4)}))
    assert store.stored_offsets()[PARTITION] == StoredOffset(1, "second", 4)


@pytest.mark.parametrize("start", [0, 9], ids=["records somebody else stored", "a gap"])
def test_a_span_that_does_not_start_at_the_stored_offset_is_fenced_with_all_its_partitions(
    engine: Engine, store: PostgresCheckpoints, start: int
) -> None:
    store.write(checkpoint(scored([trace(0)])))
    late = checkpoint(scored([trace(1)]), start=start)
    with pytest.raises(Fenced, match=r"traces\[0\]"):
        store.write(replace(late, spans={**late.spans, ("traces", 1): Span(0, 5)}))
    assert counts(engine)["trace"] == 1
    assert next_offsets(store)["traces", 1] == 0


def test_a_partition_keeps_its_stored_offset_when_somebody_begins_it_again(store: PostgresCheckpoints) -> None:
    store.write(checkpoint(scored([trace(0)])))
    store.begin({PARTITION: StoredOffset(0)})
    assert next_offsets(store)[PARTITION] == 1


def test_a_trace_that_another_worker_stored_meanwhile_is_a_duplicate_and_stores_nothing(
    engine: Engine, store: PostgresCheckpoints
) -> None:
    a_store(engine).write(checkpoint(scored([trace(7)]), partition=1))
    with pytest.raises(DuplicateTrace):
        store.write(checkpoint(scored([trace(6), trace(7)])))
    assert store.known_traces(["t-6", "t-7"]) == {"t-7"}
    assert next_offsets(store)[PARTITION] == 0


def test_the_repeat_window_is_measured_in_the_traces_own_time_across_checkpoints(store: PostgresCheckpoints) -> None:
    window = timedelta(hours=1)

    def again(number: int, after: timedelta, *, start: int) -> bool:
        item = trace(number, timestamp=START + after, messages=trace(0).messages)
        counted = store.last_counted(item.repeat_keys())
        (repeated,) = mark_repeats([item], counted, window)
        items = scored([item], repeated=repeated)
        store.write(checkpoint(items, start=start, observed=observed(items, counted)))
        return repeated

    offsets = (timedelta(), window - timedelta(seconds=1), window, timedelta(minutes=90), -timedelta(minutes=1))
    assert [again(number, after, start=number) for number, after in enumerate(offsets)] == [
        False,
        True,
        False,  # a window after the last counted one
        True,
        False,  # out of order, and more than a window before the one counted last
    ]


def test_only_repeat_keys_two_windows_behind_the_newest_trace_are_forgotten(
    engine: Engine, store: PostgresCheckpoints
) -> None:
    window = timedelta(hours=1)
    ages = (timedelta(), window, 2 * window, 2 * window + timedelta(seconds=1))
    items = [
        trace(number, timestamp=START - age, messages=(Message("user", f"{number}?"),))
        for number, age in enumerate(ages)
    ]
    keys = {key: item.timestamp for item in items for key in item.repeat_keys()}
    store.write(checkpoint(scored(items), observed=observed(scored(items), keys)))
    oldest = [key for key, counted in keys.items() if START - counted > 2 * window]
    assert store.forget_repeats(window) == len(oldest) > 0
    assert store.last_counted(keys).keys() == keys.keys() - set(oldest)


def test_one_trace_dated_a_year_ahead_makes_no_repeat_key_look_old(store: PostgresCheckpoints) -> None:
    usual = [trace(number) for number in range(5)]
    ahead = trace(5, timestamp=datetime.now(UTC) + timedelta(days=300))
    store.write(checkpoint(scored(usual)))
    store.write(checkpoint(scored([ahead]), start=5))
    assert store.forget_repeats(timedelta(hours=1)) == 0


def test_a_standby_that_takes_no_writes_is_unavailable(engine: Engine, store: PostgresCheckpoints) -> None:
    with engine.begin() as connection:
        database = connection.engine.url.database
        connection.execute(text(f'alter database "{database}" set default_transaction_read_only = on'))
    engine.dispose()
    with pytest.raises(Unavailable, match="read-only"):
        store.write(checkpoint(scored([trace(0)])))


def test_a_pool_without_a_free_connection_is_waited_for(postgres_url: str) -> None:
    engine = create_engine(
        postgres_url.replace("postgresql://", "postgresql+psycopg://"), pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    with engine.connect(), pytest.raises(Unavailable, match=r"postgres\.pool_size"):
        a_store(engine).known_traces(["t-1"])
    engine.dispose()


def test_the_cap_on_cohorts_holds_over_all_workers_and_the_first_to_come_are_kept(engine: Engine) -> None:
    one, two = a_store(engine, max_cohorts=3), a_store(engine, max_cohorts=3)
    assert one.admit(["z", "b", "b"]) == {"z": "z", "b": "b"}
    assert two.admit(["y", "a"]) == {"y": "y", "a": OTHER}
    assert one.admit(["a", "y", "z"]) == {"a": OTHER, "y": "y", "z": "z"}
    assert a_store(engine, max_cohorts=3).admit(["a", "b"]) == {"a": OTHER, "b": "b"}


def test_a_server_that_is_away_is_unavailable(store: PostgresCheckpoints) -> None:
    away = a_store(create_engine_for("postgresql://postgres@/nowhere?host=/nonexistent"))
    with pytest.raises(Unavailable, match="PostgreSQL"):
        away.write(checkpoint(scored([trace(0)])))


def test_the_queries_of_every_batch_find_their_rows_by_an_index(engine: Engine) -> None:
    page = {"start": 9000, "stop": 9010, "floor": 9000, "signals": None}
    hot: list[tuple[str, dict[str, object], str]] = [
        ("select trace_id from stored_trace where trace_id = any(:ids)", {"ids": ["t-1", "t-2"]}, "pk_stored_trace"),
        ("select key, last_counted from repeat_key where key = any(:keys)", {"keys": [b"1"]}, "pk_repeat_key"),
        (str(streams._LOCATE), {"places": [5, 500]}, "pk_log_subject"),
        (str(streams._WINDOW), {**page}, "ix_log_entry_first_place"),
        (str(streams._WINDOW), {**page}, "pk_observation_batch"),
        (str(streams._ENTRIES), {"sequence": 900, "limit": 10, "stop": 9100}, "uq_log_entry_sequence"),
        (str(streams._PLACE_OF_TRACE), {"number": 5}, "Index Scan Backward using uq_log_entry_sequence"),
        (str(streams._FLOOR), {"start": 9000}, "ix_log_entry_first_place"),
        (str(postgres_log._END), {}, "uq_log_entry_sequence"),
        (str(postgres_log._PLACE), {}, "Index Scan using"),
        (str(postgres_log._RAISE_TOTALS), {"placed": 5000}, "uq_log_entry_sequence"),
        (str(overview._TOTALS), {}, "pk_checkpoint"),
        (str(overview._FOLD_LAG), {}, "uq_log_entry_sequence"),
    ]
    with engine.begin() as connection:
        for statement in FILL.split(";"):
            connection.execute(text(statement))
    with engine.begin() as connection:
        for query, values, index in hot:
            plan = "\n".join(connection.execute(text(f"explain {query}"), values).scalars())
            assert index in plan, plan
            assert not re.search("Seq Scan on (?!running_total|baseline|fold_position)", plan), plan  # those are small


FILL = """
insert into log_entry (source, places, sequence, first_place)
  select 'traces', 10, i, 10 * (i - 1) from generate_series(1, 5000) i;
insert into checkpoint (entry_id, repeats, duplicates, skipped, preferences, dead_letters)
  select entry_id, 0, 0, '{}', 0, '{}' from log_entry;
insert into log_subject select entry_id, '{}', '' from log_entry;
insert into observation_batch select entry_id, signal, 'm', '1', '{}', '', '', '' from log_entry,
  unnest('{response_length,refusal,error}'::text[]) signal;
insert into stored_trace select 't-' || entry_id * 10 + o, entry_id, o, current_date from log_entry,
  generate_series(0, 9) o;
insert into repeat_key select sha256(i::text::bytea), now() from generate_series(1, 5000) i;
analyze log_entry;
analyze checkpoint;
analyze log_subject;
analyze observation_batch;
analyze stored_trace;
analyze repeat_key
"""
