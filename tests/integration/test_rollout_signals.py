"""Workers and a leader whose settings name different signals, as during a roll-out, on a real log."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine

from monitor.domain.observation import LogEntry
from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.drift.controller import Controller, freeze_window
from monitor.drift.freeze import NullRule
from monitor.drift.status import Streams
from monitor.observe.gather import gather
from monitor.postgres.arrivals import PostgresArrivals
from monitor.postgres.engine import transaction
from monitor.postgres.log import append_entry
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.views.streams import PostgresStreams
from monitor.signals.set import DEFAULT, SignalSet
from tests.traces import scored, trace
from tests.watched import rules_of

DIGITS = Signal("digits", SignalKind.BINARY, "ratio", "the answer holds an even number")
EVEN = np.random.default_rng(5).random(4000) < 0.3
NEW = SignalSet(
    {
        **DEFAULT.observers,
        DIGITS: lambda traces: [Observation("digits", "1", float(EVEN[int(one.trace_id[2:])])) for one in traces],
    },
    versions={"digits": "1"},
)
pytestmark = pytest.mark.postgres


def entry(signals: SignalSet, first: int, count: int = 500) -> LogEntry:
    return gather(scored([trace(number) for number in range(first, first + count)]), signals=signals)


def write(engine: Engine, signals: SignalSet, first: int) -> None:
    with transaction(engine) as connection:
        append_entry(connection, entry(signals, first))
    PostgresFoldStore(engine).place_entries()


def followed(engine: Engine, signals: SignalSet) -> set[str]:
    return {status.key.signal for status in Streams(PostgresStreams(engine, signals)).streams()}


def test_a_leader_that_does_not_know_a_signal_passes_over_it_and_one_that_does_watches_it(engine: Engine) -> None:
    old, new = (Controller(PostgresFoldStore(engine), rules_of(0)) for _ in range(2))
    store = PostgresFoldStore(engine)
    write(engine, NEW, 0)
    store.freeze(freeze_window(store, NullRule(), first_place=0, stop_place=500), by="operator", note="")
    write(engine, NEW, 500)
    assert old.tick().folded == 1000
    assert "digits" not in followed(engine, DEFAULT)
    assert Streams(PostgresStreams(engine, DEFAULT)).unwatched_scorers() == ()
    assert Streams(PostgresStreams(engine, NEW)).unwatched_scorers() == (("digits", "1"),)
    known = freeze_window(store, NullRule(signals=NEW), first_place=500, stop_place=1000)
    store.freeze(known, by="operator", note="")
    write(engine, NEW, 1000)
    assert new.tick().folded == 1500
    assert "digits" in followed(engine, NEW)
    write(engine, NEW, 1500)
    assert old.tick().folded == 2000, "the old leader goes on with a baseline that knows more than its settings"
    assert followed(engine, DEFAULT) == followed(engine, NEW)


def test_a_signal_that_was_taken_out_ends_where_its_values_end(engine: Engine) -> None:
    store, controller = PostgresFoldStore(engine), Controller(PostgresFoldStore(engine), rules_of(0))
    write(engine, NEW, 0)
    known = freeze_window(store, NullRule(signals=NEW), first_place=0, stop_place=500)
    store.freeze(known, by="operator", note="")
    write(engine, NEW, 500)
    write(engine, DEFAULT, 1000)
    write(engine, DEFAULT, 1500)
    assert controller.tick().folded == 2000
    counts = {status.key.signal: status.observations for status in Streams(PostgresStreams(engine)).streams()}
    assert (counts["digits"], counts["error"]) == (250, 750)  # of the last cohort told: half of the traces
    arrived = PostgresArrivals(engine, group_id="g").arrivals(1, limit=10)
    assert "digits" not in {key.signal for found in arrived for key in found.seen}
    again = freeze_window(store, NullRule(), first_place=0, stop_place=2000)
    assert "digits" not in {law.signal for law in again.signals}
