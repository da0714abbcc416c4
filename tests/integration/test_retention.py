"""What is forgotten: texts first, ids later, the log's beginning if at all; and what still works without them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, text

from monitor.domain.label import PREFERENCE
from monitor.drift.controller import Controller
from monitor.errors import Conflict
from monitor.ingest.offset import StoredOffset
from monitor.pipeline.checkpoint import DuplicateTrace
from monitor.postgres import baselines, retention
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.baselines import PostgresBaselineTraces
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from monitor.postgres.labels import PostgresLabels, insert_labels
from monitor.postgres.partitions import (
    AHEAD_DAYS,
    database_day,
    make_partitions_ahead,
    partition_days,
    partition_name,
)
from monitor.postgres.retention import TURN_SECONDS, PostgresRetention, Retention
from monitor.postgres.streams import PostgresFoldStore
from tests.labels import label
from tests.traces import checkpoint, drifting, scored, trace
from tests.watched import rules_of

pytestmark = pytest.mark.postgres
BASELINE = 600
RULES = rules_of(BASELINE)
TRACES = drifting(1500, change=900)
STORED = 1400
FOREVER = 0


@pytest.fixture
def engine(one_day: None, postgres_url: str) -> Iterator[Engine]:
    """A log of 1,400 traces in two commits, stored 50 days ago, with its baseline and its alarms."""
    engine = create_engine_for(postgres_url)
    with engine.begin() as connection:
        make_partitions_ahead(connection)  # the database's template may be of yesterday
        for day in partition_days(connection):
            if day < database_day(connection):
                connection.execute(text(f"drop table {partition_name(day)}"))
    store = worker(engine)
    store.begin({("traces", 0): StoredOffset(0)})
    store.write(checkpoint(scored(TRACES[:700])))
    store.write(checkpoint(scored(TRACES[700:STORED]), start=700))
    Controller(PostgresFoldStore(engine), RULES).tick()
    with engine.begin() as connection:
        connection.execute(
            text(
                "do $$ begin execute format('create table %I partition of trace for values from (%L) to (%L)',"
                " 'trace_' || to_char((now() at time zone 'utc')::date - 50, 'YYYYMMDD'),"
                " (now() at time zone 'utc')::date - 50, (now() at time zone 'utc')::date - 49); end $$"
            )
        )
        for table in ("trace", "stored_trace"):
            connection.execute(text(f"update {table} set stored_on = stored_on - 50"))  # noqa: S608
        connection.execute(text("update log_entry set created_at = created_at - interval '50 days'"))
    yield engine
    engine.dispose()


def worker(engine: Engine) -> PostgresCheckpoints:
    return PostgresCheckpoints(engine, group_id="group", max_cohorts=50)


def tidy(engine: Engine, *, texts: int = FOREVER, ids: int = FOREVER, log: int = FOREVER) -> None:
    PostgresRetention(engine, Retention(texts, ids, log)).tidy()


def count(engine: Engine, table: str) -> int:
    with engine.begin() as connection:
        return int(connection.execute(text(f"select count(*) from {table}")).scalar_one())  # noqa: S608


def days(engine: Engine) -> int:
    with engine.begin() as connection:
        return len(partition_days(connection))


def test_labels_are_kept_for_ever_and_taken_of_traces_that_are_gone(engine: Engine) -> None:
    before, after = label(1, trace_id="t-5"), label(2, trace_id="t-6")
    with engine.begin() as connection:
        insert_labels(connection, [before])
        connection.execute(text("update label set received_at = received_at - interval '9 years'"))
    tidy(engine, texts=30, ids=30, log=30)
    assert count(engine, "stored_trace") == 0
    with engine.begin() as connection:
        insert_labels(connection, [after])
        found = PostgresLabels(engine).verdicts(connection, PREFERENCE, ["t-5", "t-6", "t-7"])
    assert {trace_id: verdict.labelled_at for trace_id, verdict in found.items()} == {
        "t-5": before.timestamp,
        "t-6": after.timestamp,
    }


def test_texts_are_forgotten_with_their_day_while_their_ids_still_count_each_trace_once(engine: Engine) -> None:
    assert days(engine) == 1 + 1 + AHEAD_DAYS
    tidy(engine, texts=51)
    assert count(engine, "trace") == STORED
    tidy(engine, texts=30, ids=400)
    assert (count(engine, "trace"), days(engine)) == (0, 1 + AHEAD_DAYS)
    store = worker(engine)
    assert store.known_traces(["t-0", "t-1399", "t-1400"]) == {"t-0", "t-1399"}
    with pytest.raises(DuplicateTrace):
        store.write(checkpoint(scored(TRACES[1399:1401]), start=STORED))


def test_the_baseline_s_window_can_be_scored_again_and_the_alarms_name_their_examples_without_the_texts(
    engine: Engine, tmp_path: Path
) -> None:
    before = PostgresAlarms(engine).alarms(state=None, limit=100)
    tidy(engine, texts=30)
    file = PostgresBaselineTraces(engine).export(tmp_path / "window.jsonl")
    assert file is not None
    rows = [json.loads(line) for line in Path(file.path).read_text().splitlines()]
    assert [row["response"] for row in rows] == [item.response for item in TRACES[:BASELINE]]
    after = PostgresAlarms(engine).alarms(state=None, limit=100)
    assert after == before
    assert all(item.alarm.trace_id and item.alarm.examples for item in after)


def test_a_window_that_takes_long_to_write_is_exported_whole_though_an_idle_transaction_is_ended(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(form: object) -> bytes:
        time.sleep(0.003)
        return json.dumps(form).encode()

    @event.listens_for(engine, "begin")
    def end_idle_ones(connection: Connection) -> None:
        connection.execute(text("set local idle_in_transaction_session_timeout = '1s'"))

    monkeypatch.setattr(baselines, "EXPORT_ROWS", 50)
    monkeypatch.setattr("msgspec.json.encode", slow)
    file = PostgresBaselineTraces(engine).export(tmp_path / "window.jsonl")
    assert file is not None
    assert file.rows == BASELINE


def test_the_fold_goes_on_to_the_same_alarms_when_texts_ids_and_the_log_s_beginning_are_gone(engine: Engine) -> None:
    store = worker(engine)
    tidy(engine, texts=1, ids=1, log=1)
    assert count(engine, "log_entry") == 2, "the active baseline's window is never forgotten"
    assert count(engine, "stored_trace") == count(engine, "score") == 0
    store.write(checkpoint(scored(TRACES[STORED:]), start=STORED))
    assert Controller(PostgresFoldStore(engine), RULES).tick().folded == len(TRACES)


def test_the_log_before_the_active_baseline_is_forgotten_with_all_that_hangs_on_it(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("update baseline set first_place = 700, stop_place = 1300"))
    tidy(engine, log=51)
    assert count(engine, "log_entry") == 2
    tidy(engine, log=30)
    tables = ("log_entry", "checkpoint", "log_subject")
    assert [count(engine, table) for table in tables] == [1, 1, 1]
    worker(engine).write(checkpoint(scored(TRACES[STORED:]), start=STORED))
    Controller(PostgresFoldStore(engine), RULES).tick()
    with engine.begin() as connection:
        rows = connection.execute(text("select sequence, first_place from log_entry order by 1")).all()
    assert [tuple(row) for row in rows] == [(2, 700), (3, STORED)]
    store = PostgresFoldStore(engine)
    assert [store.place_of_trace(number) for number in (700, 1399, 1400, 1499)] == [700, 1399, 1400, 1499]
    with pytest.raises(Conflict, match="trace 699: its observations are forgotten"):
        store.place_of_trace(699)


def test_the_log_s_days_are_days_in_utc_wherever_the_server_stands(engine: Engine) -> None:
    @event.listens_for(engine, "begin")
    def stand_in_the_west(connection: Connection) -> None:
        connection.execute(text("set local timezone = 'America/Los_Angeles'"))

    first_kept = "((now() at time zone 'utc')::date - 30)::timestamp at time zone 'utc'"
    with engine.begin() as connection:
        connection.execute(text("update baseline set first_place = 700, stop_place = 1300"))
        connection.execute(text(f"update log_entry set created_at = {first_kept}"))  # noqa: S608
    tidy(engine, log=30)
    assert count(engine, "log_entry") == 2
    tidy(engine, log=29)
    assert count(engine, "log_entry") == 1


def test_a_window_s_texts_go_when_its_baseline_is_replaced_and_old(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("update baseline set created_at = created_at - interval '50 days'"))
    tidy(engine, texts=30)
    assert count(engine, "baseline_trace") == BASELINE
    with engine.begin() as connection:
        connection.execute(text("update baseline set active = false"))
    tidy(engine, texts=51)
    assert count(engine, "baseline_trace") == BASELINE
    tidy(engine, texts=30)
    assert count(engine, "baseline_trace") == 0


def test_a_day_that_somebody_reads_is_forgotten_later_and_writers_do_not_wait_for_the_reader(engine: Engine) -> None:
    with engine.connect() as reader:
        reader.execute(text("select count(*) from trace"))
        tidy(engine, texts=30)
        assert days(engine) == 1 + 1 + AHEAD_DAYS
        worker(engine).write(checkpoint(scored(TRACES[STORED:]), start=STORED))
    tidy(engine, texts=30)
    assert (days(engine), count(engine, "trace")) == (1 + AHEAD_DAYS, len(TRACES) - STORED)


def test_a_day_whose_partition_nobody_made_is_stored_and_gets_its_partition_with_its_first_traces(
    engine: Engine,
) -> None:
    with engine.begin() as connection:
        for day in partition_days(connection)[1:]:
            connection.execute(text(f"drop table trace_{day:%Y%m%d}"))
    worker(engine).write(checkpoint(scored(TRACES[STORED:]), start=STORED))
    assert (days(engine), count(engine, "trace_default"), count(engine, "trace")) == (2, 0, len(TRACES))
    PostgresRetention(engine, Retention(FOREVER, FOREVER, FOREVER)).make_partitions()
    assert days(engine) == 1 + 1 + AHEAD_DAYS


def test_a_trace_is_stored_in_the_default_partition_while_nobody_may_make_one(engine: Engine) -> None:
    with engine.begin() as connection:
        for day in partition_days(connection)[1:]:
            connection.execute(text(f"drop table trace_{day:%Y%m%d}"))
    with engine.connect() as reader:
        reader.execute(text("select count(*) from trace"))  # as a backup does, which takes hours
        worker(engine).write(checkpoint(scored([trace(5000)]), start=STORED))
        assert count(engine, "trace_default") == 1
    PostgresRetention(engine, Retention(FOREVER, FOREVER, FOREVER)).make_partitions()
    assert (count(engine, "trace_default"), count(engine, "trace")) == (0, STORED + 1)


def test_replicas_that_make_partitions_at_once_wait_for_each_other(engine: Engine) -> None:
    with engine.begin() as connection:
        for day in partition_days(connection)[1:]:
            connection.execute(text(f"drop table trace_{day:%Y%m%d}"))

    def make(_: int) -> int:
        with engine.begin() as connection:
            return len(make_partitions_ahead(connection))

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(4))) == [0, 0, 0, 1 + AHEAD_DAYS]


def test_a_trace_dated_a_year_ahead_lies_in_the_day_of_its_arrival(engine: Engine) -> None:
    ahead = trace(5000, timestamp=datetime.now(UTC) + timedelta(days=360))
    worker(engine).write(checkpoint(scored([ahead]), start=STORED))
    assert (days(engine), count(engine, "trace_default")) == (1 + 1 + AHEAD_DAYS, 0)
    tidy(engine, texts=30)
    assert count(engine, "trace") == 1


def test_what_is_left_when_the_leader_s_time_is_up_is_forgotten_the_next_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "IDS_AT_ONCE", 300)
    seconds = iter((0.0, 0.0, 1.0, 2.0, TURN_SECONDS))  # began; a day of texts; two deletions; over
    PostgresRetention(engine, Retention(30, 40, FOREVER), clock=lambda: next(seconds)).tidy()
    assert (count(engine, "trace"), count(engine, "stored_trace")) == (0, STORED - 600)
    tidy(engine, texts=30, ids=40)
    assert count(engine, "stored_trace") == 0
