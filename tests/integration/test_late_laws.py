"""The laws of what labels tell: frozen once enough are there, of blocks that are not bet on, folded alike by all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from monitor.app.explaining import Explanations
from monitor.domain.alarm import Alarm
from monitor.domain.cohort import ALL
from monitor.domain.label import Label
from monitor.domain.observation import LogEntry
from monitor.domain.stream import StreamKey
from monitor.drift import controller
from monitor.drift.budget import Budget
from monitor.drift.controller import LATE_SECONDS, Controller, ControllerRules, freeze_window
from monitor.drift.fold import Fold, FoldRules, in_fold_order
from monitor.drift.freeze import NullRule
from monitor.drift.report import observation_frame
from monitor.drift.status import Streams
from monitor.drift.stored import FoldPosition
from monitor.drift.stream import Decision
from monitor.labels.block import BlockRule
from monitor.labels.keeper import BlockKeeper
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.blocks import PostgresBlocks
from monitor.postgres.engine import create_engine_for
from monitor.postgres.labels import insert_labels
from monitor.postgres.log import append_entry
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.views.overview import PostgresOverview
from monitor.postgres.views.streams import PostgresStreams
from monitor.review.criteria import DEFAULT
from monitor.signals.estimand import LABEL_SIGNALS, REWARD_ACCURACY, WIN_RATE, WIN_RATE_LC
from tests.blocks import settle_all, traces

pytestmark = pytest.mark.postgres
RULE = BlockRule(traces=20)
LABELS = 60
RULES = ControllerRules(
    FoldRules(Budget(average_run_length=1_000.0)), baseline_traces=400, null_rule=NullRule(), baseline_labels=LABELS
)
TRACES = traces(6000, seed=3, rate=0.8, share=0.3, mixed=False, falls=2400)
ENTRY = 200
NAMES = {signal.name for signal in LABEL_SIGNALS}
OF_LABELS = (WIN_RATE.name, WIN_RATE.rectifier, WIN_RATE_LC.name, REWARD_ACCURACY.name)


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


class Site:
    """A log that grows, labels that come, and a leader that may be replaced."""

    def __init__(self, engine: Engine, rules: ControllerRules = RULES) -> None:
        self.engine = engine
        self.rules = rules
        self.log = PostgresFoldStore(engine)
        self.blocks = PostgresBlocks(engine)
        self.seconds = 0.0
        self.lead()

    def lead(self) -> None:
        self.controller = Controller(self.log, self.rules, clock=lambda: self.seconds)

    def write(self, entry: LogEntry) -> None:
        with self.engine.begin() as connection:
            append_entry(connection, entry)

    def label(self, labels: list[Label]) -> None:
        with self.engine.begin() as connection:
            insert_labels(connection, labels)

    def tick(self) -> int:
        """Take a leader's turn; return how many places are placed and not folded."""
        self.seconds += LATE_SECONDS
        tick = self.controller.tick()
        return tick.places - tick.folded

    def fold_all(self) -> None:
        while self.tick():
            pass

    def settle(self) -> None:
        self.log.place_entries()
        settle_all(self.blocks, RULE)

    def replay(self, *, restart: bool = False) -> None:
        """Write all traces, label each part a part later, and settle and fold after each."""
        for start in range(0, len(TRACES), ENTRY):
            if restart:
                self.lead()
            self.write(TRACES.entry(start, start + ENTRY))
            self.label(TRACES.labels_between(start - ENTRY, start))
            self.fold_all()
            self.settle()
            self.fold_all()

    def rows_settled(self) -> list[int]:
        with self.engine.begin() as connection:
            return list(connection.execute(text("select number from label_block where outcome = 'matured'")).scalars())

    def alarms(self) -> list[tuple[object, ...]]:
        stored = PostgresAlarms(self.engine).alarms(state=None, limit=500)
        return sorted(told(row.alarm) for row in stored)

    def folded_again(self) -> list[tuple[object, ...]]:
        """Return the alarms of the active baseline as it is now, folded over the whole log."""
        active = self.log.active()
        assert active is not None
        fold, start = Fold(active.baseline, self.rules.fold), self.log.position_at(active.baseline.stop_place)
        found: list[Decision] = []
        while entries := list(self.log.entries(start, max_places=5000)):
            for entry in entries:
                found += [outcome for outcome in fold.add(entry) if isinstance(outcome, Decision)]
            start = FoldPosition(entries[-1].sequence + 1, entries[-1].first_place + entries[-1].places)
        return sorted(told(decision) for decision in in_fold_order(found))


def told(alarm: Alarm | Decision) -> tuple[object, ...]:
    return alarm.place, str(alarm.stream), alarm.severity.value, alarm.onset_place, alarm.observations


def observations(site: Site) -> dict[str, int]:
    """Return how many observations each roll-up of labels has folded."""
    active = site.log.active()
    assert active is not None
    streams = site.log.load_fold(active.baseline_id).streams
    return {key.signal: row.observations for key, row in streams.items() if key.signal in NAMES and key.cohort == ALL}


SHARED = replace(RULES, fold=FoldRules(Budget(false_page_days=0.002, least_run_length=200.0)))


@pytest.mark.parametrize(
    ("restart", "rules"),
    [
        pytest.param(True, RULES, id="a new leader every time"),
        pytest.param(False, SHARED, id="one leader, a budget that all streams share"),
    ],
)
def test_what_labels_tell_gets_its_laws_and_its_alarms_are_those_of_a_fold_from_the_beginning(
    engine: Engine, restart: bool, rules: ControllerRules
) -> None:
    site = Site(engine, rules)
    site.replay(restart=restart)
    active = site.log.active()
    assert active is not None
    laws = {law.signal: law for law in active.baseline.signals if law.signal in NAMES}
    assert laws.keys() == set(OF_LABELS)
    end = site.log.place_entries().next_place
    for law in laws.values():
        later = sum(len(batch.values) for batch in site.log.window(law.since, end, {law.signal}))
        earlier = sum(len(batch.values) for batch in site.log.window(0, law.since, {law.signal}))
        assert observations(site)[law.signal] == later > 0
        assert sum(row.observations for row in law.strata) <= earlier
        assert law.days == pytest.approx(earlier_days(law.signal, law.since, site), rel=0.2)
    found = {alarm[1] for alarm in site.alarms()}
    assert str(StreamKey(WIN_RATE.name, ALL, "chat-1", DEFAULT.version)) in found
    assert site.alarms() == site.folded_again()
    explanations = Explanations(engine, rules.fold)
    for stored in PostgresAlarms(engine).alarms(state=None, limit=500):
        if stored.alarm.stream.signal in NAMES:
            explained = explanations.explanation(stored.alarm_id)
            assert explained is not None
            assert explained.recount is not None
            assert explained.recount.agrees, explained.recount.note


def earlier_days(signal: str, since: int, site: Site) -> float:
    """Return the days from the first to the last trace that a law was made of."""
    batches = list(site.log.window(0, since, {signal}))
    first, last = site.log.locate([int(batches[0].places[0]), int(batches[-1].places[-1])])
    return (last.timestamp - first.timestamp).total_seconds() / 86_400.0


def test_a_fold_that_is_behind_when_the_laws_are_frozen_decides_as_one_that_is_not(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(engine)
    site.write(TRACES.entry(0, 2000))
    site.fold_all()
    site.label(TRACES.labels_between(0, 2000))
    site.settle()
    for start in range(2000, len(TRACES), ENTRY):
        site.write(TRACES.entry(start, start + ENTRY))
        site.label(TRACES.labels_between(start, start + ENTRY))
    monkeypatch.setattr(controller, "FOLD_PLACES", 10)
    assert site.tick() > 0
    active = site.log.active()
    assert active is not None
    assert active.baseline.get(WIN_RATE.name, DEFAULT.version) is not None
    site.settle()
    site.fold_all()
    assert any(WIN_RATE.name in str(alarm[1]) for alarm in site.alarms())
    assert site.alarms() == site.folded_again()


def test_what_operators_are_told_is_counted_in_traces_with_labels_in_the_log(engine: Engine) -> None:
    site = Site(engine)
    site.write(TRACES.entry(0, 1000))
    site.fold_all()
    site.label(TRACES.labels_between(0, 700))
    site.settle()
    site.write(TRACES.entry(1000, 2000))
    site.fold_all()
    laid = site.log.place_entries().next_place - 2000
    assert laid == 20 * len(site.rows_settled()) > 600
    overview = PostgresOverview(engine, kafka_lag=lambda: None).overview()
    assert (overview.traces, overview.fold_lag_traces) == (2000, 0)
    assert site.log.trace_numbers([999, 1000, 1000 + laid - 1, 1000 + laid, 1999 + laid]) == [
        999, 1000, 1000, 1000, 1999
    ]  # fmt: skip
    assert site.log.place_of_trace(1500) == 1500 + laid
    streams = Streams(PostgresStreams(engine))
    assert {status.key.signal for status in streams.streams()} >= {"reward_win"}
    assert not {signal for signal, _ in streams.unwatched_scorers()} & NAMES
    frame = observation_frame(site.log.window(0, 2000 + laid))
    assert len(frame) == 2000
    assert not set(frame.columns) & NAMES
    window = freeze_window(site.log, NullRule(), first_place=800, stop_place=1200 + laid)
    assert not {law.signal for law in window.signals} & NAMES
    frozen = site.log.freeze(window, by="ada", note="")
    told_of = PostgresStreams(engine).baseline()
    assert told_of is not None
    assert (told_of.baseline_id, told_of.first_trace, told_of.traces) == (frozen.baseline_id, 800, 400)


def test_a_baseline_that_is_frozen_later_has_laws_of_its_own_traces_alone(engine: Engine) -> None:
    site = Site(engine)
    for start in range(0, 2400, ENTRY):
        site.write(TRACES.entry(start, start + ENTRY))
    site.fold_all()
    first_place = site.log.place_of_trace(1010)
    baseline = freeze_window(site.log, NullRule(), first_place=first_place, stop_place=site.log.place_of_trace(1800))
    site.log.freeze(baseline, by="ada", note="after the release")
    site.label(TRACES.labels())
    BlockKeeper(site.blocks, RULE).turn()  # an entry of many blocks, of older traces and of newer
    site.settle()
    site.fold_all()
    active = site.log.active()
    assert active is not None
    law = active.baseline.get(WIN_RATE.name, DEFAULT.version)
    assert law is not None
    assert sum(row.observations for row in law.strata) == 2400 - 1020
    span = site.log.label_span(WIN_RATE, first_place)
    assert span is not None
    assert site.log.locate([span.first_place])[0].subject_id == "t-1020"
    assert span.verdicts == {DEFAULT.version: len([row for row in TRACES.drawn() if 1020 <= row < 2400])}
    assert span.compared == {"e-1": span.verdicts[DEFAULT.version]}
    assert site.log.label_span(WIN_RATE, 10**6) is None
