"""A signal that is switched on after the baseline, and hangs on more than texts, gets a law of its own first traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine

from monitor.app.history import StreamHistories
from monitor.app.signals import signals_of
from monitor.cli.explanation import law_lines
from monitor.domain.alarm import Severity
from monitor.domain.cohort import ALL
from monitor.domain.history import HistoryRange
from monitor.domain.stream import StreamKey
from monitor.domain.trace import Trace
from monitor.drift.baseline import LEAST_JUDGED, SignalBaseline
from monitor.drift.controller import Controller, ControllerRules
from monitor.drift.first import LOOK_SECONDS, FirstLaws
from monitor.drift.rollup import roll_up
from monitor.drift.summary import summarise
from monitor.drift.versions import VersionLaws
from monitor.ingest.offset import StoredOffset
from monitor.observe.gather import gather
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.rollups import PostgresRollups
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.versions import PostgresFirstTraces, PostgresVersions
from monitor.postgres.views.history import PostgresHistory
from monitor.settings.root import Settings
from monitor.signals.set import DEFAULT, SignalSet
from tests.traces import checkpoint, scored, trace
from tests.watched import rules_of

pytestmark = pytest.mark.postgres
BASELINE = 600
SWITCHED_ON = {
    "on": ["cost"],
    "prices": [{"model": "*", "input": 1.0, "output": 10.0}],
    "own": [
        {"name": "user_score", "jsonpath": "$.cohort.score"},
        {"name": "words", "callable": "tests.own_functions:words", "kind": "length"},
    ],
}


def traffic(start: int, count: int, *, score: float = 0.5, share: float = 1.0) -> list[Trace]:
    """Return traces whose users score them about *score*, a *share* of them."""
    rng = np.random.default_rng(start)
    scores, told = rng.normal(score, 0.1, count), rng.random(count) < share
    labels = [{"score": f"{value:.3f}"} if known else {} for value, known in zip(scores, told, strict=True)]
    return [
        trace(start + number, cohort={"dataset": ("koala", "vicuna")[number % 2], **label}, output_tokens=tokens)
        for number, (label, tokens) in enumerate(zip(labels, rng.integers(80, 120, count).tolist(), strict=True))
    ]


class Site:
    """A log, and a leader that knows the signals of the settings of now."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.log = engine, PostgresFoldStore(engine)
        self.checkpoints = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
        self.checkpoints.begin({("traces", 0): StoredOffset(0)})
        self.offset, self.seconds, self.signals = 0, 0.0, DEFAULT
        self.lead(DEFAULT)

    def lead(self, signals: SignalSet) -> None:
        """Let a leader take over whose settings have *signals* on; workers have them too from now on."""
        usual = rules_of(BASELINE)
        self.signals = signals
        self.rules: ControllerRules = replace(usual, null_rule=replace(usual.null_rule, signals=signals))
        again = signals.only({signal.name for signal in signals.observers if signal.of_texts})
        others = signals.of_traces - again.of_traces
        rule, clock = self.rules.null_rule, lambda: self.seconds
        first = FirstLaws(PostgresFirstTraces(self.engine), rule, others, BASELINE, clock)
        store = PostgresVersions(self.engine)
        self.versions = VersionLaws(store, again.rows, rule, signals=again.of_traces, first=first, clock=clock)
        self.controller = Controller(self.log, self.rules, versions=self.versions, clock=clock)

    def write(self, traces: Sequence[Trace], *, lead: bool = True) -> None:
        for start in range(0, len(traces), 50):
            items = scored(traces[start : start + 50])
            written = checkpoint(items, start=self.offset)
            entry = gather(items, signals=self.signals)
            self.checkpoints.write(replace(written, observed=replace(written.observed, entry=entry)))
            self.offset += len(items)
            if lead:
                self.turn()

    def turn(self) -> None:
        for _ in range(2):  # a look, and what it found
            self.seconds += LOOK_SECONDS
            while (tick := self.controller.tick()).folded < tick.places:
                pass

    def law(self, signal: str) -> SignalBaseline | None:
        active = self.log.active()
        assert active is not None
        return next((law for law in active.baseline.signals if law.signal == signal), None)

    def followed(self, signal: str) -> int:
        """Return how many observations the roll-up of *signal* has bet on."""
        told = self.controller.tick().statuses
        return sum(row.observations for row in told if row.key.signal == signal and row.key.cohort == ALL)

    def alarmed(self) -> set[str]:
        found = PostgresAlarms(self.engine).alarms(state=None, limit=100)
        return {one.alarm.stream.signal for one in found if one.alarm.severity is Severity.ALERT}


@pytest.fixture
def switched_on() -> Iterator[SignalSet]:
    signals = signals_of(Settings.model_validate({"signals": SWITCHED_ON}))
    yield signals
    signals.close()


@pytest.fixture
def site(engine: Engine) -> Site:
    site = Site(engine)
    site.write(traffic(0, 900))
    return site


def test_a_signal_that_was_switched_on_is_followed_from_the_end_of_its_first_traces(
    site: Site, switched_on: SignalSet
) -> None:
    site.lead(switched_on)
    site.write(traffic(900, BASELINE - 50))
    key = ("user_score", switched_on.versions["user_score"])
    assert site.law("user_score") is None
    assert site.versions.unfollowed().reason(key) is None  # it comes by itself
    site.write(traffic(1450, 650))
    for signal in ("user_score", "words", "cost"):
        law = site.law(signal)
        assert law is not None, signal
        assert sum(row.observations for row in law.for_policy("*").values()) == BASELINE
        assert (law.since, law.days is not None) == (900 + BASELINE, True)
        assert site.followed(signal) == 600  # what made the law is not bet on, and nothing after it is lost
    assert site.alarmed() == set()
    site.write(traffic(2100, 600, score=0.7))
    assert site.alarmed() == {"user_score"}

    active = site.log.active()
    assert active is not None
    told = {row.signal: row for row in summarise(active.baseline)}
    assert (told["user_score"].made_from, told["user_score"].since) == ("first values", 1500)
    assert (told["refusal"].made_from, told["refusal"].since) == ("window", 0)
    assert "cost came after the window: its law is of its own first values, up to place 1500" in list(
        law_lines(told.values(), ())
    )


def test_the_band_of_a_law_that_came_later_is_drawn_from_when_it_came(site: Site, switched_on: SignalSet) -> None:
    site.lead(switched_on)
    site.write(traffic(900, 1200))
    store, told = PostgresRollups(site.engine, days=0), StreamHistories(site.engine, switched_on)
    while (unread := store.unread(max_places=20_000)) is not None:
        store.save(unread, roll_up(unread.seen, since=unread.since))
    begun = {}
    for signal in ("user_score", "refusal"):
        law = site.law(signal)
        assert law is not None
        number = PostgresHistory(site.engine).number_of(StreamKey(signal, ALL, "phi-2", law.scorer_version))
        assert number is not None
        found = told.history(number, HistoryRange.WEEK, until=trace(2100).timestamp)
        assert found is not None
        [band] = found.bands
        begun[signal] = band.since
    assert begun == {"user_score": trace(1499).timestamp, "refusal": trace(BASELINE - 1).timestamp}


def test_a_leader_that_looks_later_finds_the_same_law_and_bets_on_all_that_came_since(
    site: Site, switched_on: SignalSet
) -> None:
    site.signals = switched_on  # workers are ahead of the leader
    site.write(traffic(900, 1200), lead=False)
    site.turn()
    assert site.law("user_score") is None  # the leader of the settings before does not know it
    site.lead(switched_on)
    site.turn()
    law = site.law("user_score")
    assert law is not None
    assert law.since == 900 + BASELINE
    assert site.followed("user_score") == 600


def test_a_function_that_says_to_read_texts_alone_has_its_law_at_once(site: Site) -> None:
    own = [{"name": "words", "callable": "tests.own_functions:words", "kind": "length", "of_texts": True}]
    site.lead(signals_of(Settings.model_validate({"signals": {"own": own}})))
    site.write(traffic(900, 50))
    law = site.law("words")
    assert law is not None
    assert sum(row.observations for row in law.for_policy("*").values()) == BASELINE
    assert site.followed("words") == 50


def test_a_rare_signal_waits_for_as_many_values_as_a_law_takes_and_says_so(site: Site, switched_on: SignalSet) -> None:
    site.lead(switched_on)
    site.write(traffic(900, BASELINE + 100, share=0.1))
    key = ("user_score", switched_on.versions["user_score"])
    assert site.law("user_score") is None
    assert (site.versions.unfollowed().reason(key) or "").endswith(f"have a value, and a law takes {LEAST_JUDGED}")
    site.write(traffic(1600, 500, share=0.1))
    law = site.law("user_score")
    assert law is not None
    assert sum(row.observations for row in law.for_policy("*").values()) >= LEAST_JUDGED - 20
    assert site.versions.unfollowed().reason(key) is None
