"""The roll-ups over a real log: every observation once, whatever leader reads it, and for as long as they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from monitor.app import history
from monitor.app.history import PAUSE_SECONDS, RollUp
from monitor.app.leader import Duty
from monitor.domain.cohort import OTHER
from monitor.drift.rollup import roll_up
from monitor.errors import Fenced
from monitor.ingest.offset import StoredOffset
from monitor.postgres import rollups
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for, transaction
from monitor.postgres.retention import PostgresRetention, Retention
from monitor.postgres.rollups import PostgresRollups, decode_sketch
from monitor.postgres.streams import PostgresFoldStore
from tests.traces import checkpoint, scored, trace
from tests.unit.test_leader import leader_of

pytestmark = pytest.mark.postgres
NOW = datetime.now(UTC).replace(minute=30, second=0, microsecond=0) - timedelta(hours=3)
_ROLLED = text(
    "select signal, cohort, policy_model, width_seconds, start, observations, total, low, high, sketch"
    " from stream_rollup join stream using (stream_id)"
)


class Log:
    """A log of one worker; `write` commits one entry of *count* traces, and places it."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.traces = engine, 0
        self.checkpoints = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
        self.checkpoints.begin({("traces", 0): StoredOffset(0)})

    def write(self, count: int, *, since: datetime = NOW, **changes: object) -> None:
        first, self.traces = self.traces, self.traces + count
        items = [
            trace(number, timestamp=since + timedelta(seconds=3 * (number - first)), output_tokens=50 + number)
            if not changes
            else trace(number, timestamp=since + timedelta(seconds=3 * (number - first)), **changes)
            for number in range(first, self.traces)
        ]
        self.checkpoints.write(checkpoint(scored(items), start=first))
        PostgresFoldStore(self.engine).place_entries()

    def rolled(self) -> dict[tuple[str, str, str, int, datetime], tuple[int, float, float, float, list[int]]]:
        with transaction(self.engine) as connection:
            rows = connection.execute(_ROLLED).all()
        return {
            tuple(row[:5]): (row[5], round(row[6], 6), row[7], row[8], decode_sketch(row[9])[1].tolist())
            for row in rows
        }

    def forget_rollups(self) -> None:
        with transaction(self.engine) as connection:
            connection.execute(text("truncate stream_rollup, stream, rollup_position"))


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


def read_all(engine: Engine, *, step: int = 20_000, days: int = 90) -> None:
    store, more = PostgresRollups(engine, days=days), True
    while more:
        unread = store.unread(max_places=step)
        if unread is None:
            return
        store.save(unread, roll_up(unread.seen, since=unread.since))
        more = unread.more


def test_late_traces_update_their_bucket_and_no_cut_of_the_log_matters(engine: Engine) -> None:
    log = Log(engine)
    for _ in range(4):
        log.write(150)
        read_all(engine)  # each after the first adds to buckets that are there
    grown = log.rolled()
    hour = NOW.replace(minute=0)
    told = grown[("response_length", "*", "phi-2", 3600, hour)]
    assert told[0] == 600
    assert told[1:4] == (sum(range(50, 650)), 50.0, 649.0)
    assert grown[("response_length", "dataset=koala", "phi-2", 300, NOW)][0] == 4 * 50
    log.forget_rollups()
    read_all(engine, step=1)
    assert log.rolled() == grown


def test_a_leader_that_read_what_another_has_saved_meanwhile_is_refused(engine: Engine) -> None:
    log = Log(engine)
    log.write(100)
    hung, store = PostgresRollups(engine, days=90), PostgresRollups(engine, days=90)
    late = hung.unread(max_places=20_000)
    assert late is not None
    read_all(engine)
    before = log.rolled()
    with pytest.raises(Fenced, match="entry 1"):
        hung.save(late, roll_up(late.seen))
    assert log.rolled() == before
    assert store.unread(max_places=20_000) is None


def test_a_leader_that_dies_in_the_middle_of_a_save_has_saved_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(engine)
    log.write(100)
    with monkeypatch.context() as patched:
        patched.setattr(rollups, "_SAVE", rollups._SAVE + ", killed")
        with pytest.raises(Exception, match="killed"):
            read_all(engine)
    assert log.rolled() == {}
    read_all(engine)
    assert log.rolled()[("response_length", "*", "phi-2", 3600, NOW.replace(minute=0))][0] == 100


def test_what_is_behind_is_caught_up_in_bounded_steps_and_then_looked_for_now_and_then(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "STEP_PLACES", 100)
    log, now = Log(engine), [0.0]
    for _ in range(3):
        log.write(100)
    duty = Duty("roll_up", PAUSE_SECONDS, RollUp(PostgresRollups(engine, days=90)))
    leader = leader_of(duty, clock=lambda: now[0])
    assert [leader.turn() for _ in range(4)] == [True, True, False, False]
    log.write(100)
    assert not leader.turn()  # not due yet
    assert sum(row[0] for key, row in log.rolled().items() if key[:2] == ("refusal", "*") and key[3] == 3600) == 300
    now[0] = PAUSE_SECONDS
    assert not leader.turn()
    assert sum(row[0] for key, row in log.rolled().items() if key[:2] == ("refusal", "*") and key[3] == 3600) == 400


def test_roll_ups_and_streams_are_forgotten_at_their_time_and_nothing_older_is_made(engine: Engine) -> None:
    log = Log(engine)
    old = datetime.now(UTC) - timedelta(days=40)
    log.write(20, since=old)
    log.write(20, policy_model="phi-3")
    read_all(engine)
    assert {key[2] for key in log.rolled()} == {"phi-2", "phi-3"}
    PostgresRetention(engine, Retention(0, 0, 0, rollup_days=30)).tidy()
    assert {key[2] for key in log.rolled()} == {"phi-3"}
    with transaction(engine) as connection:
        assert connection.execute(text("select distinct policy_model from stream")).scalars().all() == ["phi-3"]
    kept = log.rolled()
    log.forget_rollups()
    read_all(engine, days=30)
    assert log.rolled() == kept


def test_policy_models_past_the_cap_share_one_name(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "MAX_POLICY_MODELS", 1)
    log = Log(engine)
    for model in ("phi-2", "phi-3", "phi-4"):
        log.write(10, policy_model=model)
        read_all(engine)
    counts: Mapping[str, int] = {
        key[2]: row[0] for key, row in log.rolled().items() if key[:2] == ("refusal", "*") and key[3] == 3600
    }
    assert counts == {"phi-2": 10, OTHER: 20}
