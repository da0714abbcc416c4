"""Covariates in a real log: windows and entries come back as they were written."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from sqlalchemy import Engine, text

from monitor.domain.observation import SubjectWindow
from monitor.drift.log import ObservationLog
from monitor.drift.stored import FoldPosition
from monitor.ingest.offset import StoredOffset
from monitor.observe.gather import gather
from monitor.offline.log import InMemoryLog
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for, transaction
from monitor.postgres.streams import PostgresFoldStore
from tests.program import wait_for
from tests.traces import checkpoint, scored, trace

pytestmark = pytest.mark.postgres
ITEMS = scored([trace(number) for number in range(250)])
CUTS = (0, 100, 101, 180, 250)


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> PostgresFoldStore:
    """Return a log of `ITEMS`, whose clock was told once in between."""
    store, checkpoints = PostgresFoldStore(engine), PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
    checkpoints.begin({("traces", 0): StoredOffset(0)})
    for start, stop in pairwise(CUTS):
        checkpoints.write(checkpoint(ITEMS[start:stop], start=start))
        if start == 0:
            store.tell_time(after_seconds=0.0)
    wait_for(lambda: store.place_entries().next_place == len(ITEMS), "the places")
    return store


def in_memory() -> InMemoryLog:
    log = InMemoryLog()
    for start, stop in pairwise(CUTS):
        log.append(gather(ITEMS[start:stop]))
    return log


def content(window: SubjectWindow) -> tuple[object, ...]:
    assert window.covariates is not None
    return window.places.tolist(), window.timestamps.tolist(), window.covariates.encode()


@pytest.mark.parametrize(("start", "stop"), [(0, 250), (40, 100), (100, 101), (99, 181), (249, 260), (250, 260)])
def test_a_window_s_covariates_are_those_that_were_written(store: PostgresFoldStore, start: int, stop: int) -> None:
    logs: list[ObservationLog] = [store, in_memory()]
    stored, kept = (content(log.subjects(start, stop)) for log in logs)
    assert stored == kept


def test_pages_of_a_window_are_joined(store: PostgresFoldStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.postgres.streams.PAGE_PLACES", 30)
    assert content(store.subjects(7, 240)) == content(in_memory().subjects(7, 240))


def test_an_entry_tells_all_its_subjects_wherever_the_fold_goes_on(store: PostgresFoldStore) -> None:
    whole = list(store.entries(FoldPosition(1, 0), max_places=1000))
    assert [entry.places for entry in whole] == [100, 0, 1, 79, 70]
    assert whole[1].covariates is None
    assert whole[1].timestamps is not None
    assert len(whole[1].timestamps) == 0
    for entry, kept in zip([whole[0], *whole[2:]], in_memory().records, strict=True):
        assert content(entry.subjects(0, 250)) == content(kept.subjects(0, 250))
    resumed = next(iter(store.entries(FoldPosition(4, 150), max_places=1000)))
    assert min(batch.places[0] for batch in resumed.observations) == 150
    assert content(resumed.subjects(150, 160)) == content(in_memory().subjects(150, 160))


def test_a_log_of_an_earlier_release_has_windows_without_covariates(engine: Engine, store: PostgresFoldStore) -> None:
    with transaction(engine) as connection:
        connection.execute(
            text(
                "update log_subject set covariates = null, covariates_version = null"
                " where entry_id = (select min(entry_id) from log_entry)"
            )
        )
    window = store.subjects(90, 110)
    assert window.covariates is None
    assert window.places.tolist() == list(range(90, 110))
    assert np.array_equal(window.timestamps, in_memory().subjects(90, 110).timestamps)
    assert store.subjects(100, 110).covariates is not None
    assert next(iter(store.entries(FoldPosition(1, 0), max_places=1))).covariates is None
