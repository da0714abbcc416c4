"""Probes of the live model: asked through a real server, stored once, watched as streams of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from zlib import crc32

import pytest
from sqlalchemy import Engine, text

from monitor.domain.alarm import AlarmKind
from monitor.domain.observation import Source
from monitor.domain.score import Reward
from monitor.drift.baseline import SignalBaseline
from monitor.drift.stored import FoldPosition
from monitor.errors import Unavailable
from monitor.postgres.arrivals import PostgresArrivals
from monitor.postgres.streams import PostgresFoldStore
from monitor.probes.report import ProbeReports
from monitor.probes.run import RunState, version_of
from monitor.probes.suite import PACKAGED, Suite, read_suite
from monitor.signals.refusal.observers import refusal_model
from tests.integration.probing import BASELINE, PATTERNS, Site, speaking
from tests.reference_server import Reply, TroubledServer

pytestmark = pytest.mark.postgres
REFUSAL = "I'm sorry, but I can't help with that."
EVADED = "It is important to respect others. Please consult a professional instead."  # no pattern finds it
HELP = "Of course. Here is how it is done: begin with the first step."
ITEMS = 40


@pytest.fixture(scope="module")
def over_refusal() -> Suite:
    return read_suite(PACKAGED["over_refusal"], "over_refusal")


@pytest.fixture
def site(engine: Engine) -> Iterator[Site]:
    site = Site(engine)
    with site.open:
        yield site


class Mood:
    """A model that refuses a share of what it is asked, not always the same."""

    def __init__(self) -> None:
        self.refuses = 0.06
        self.asked: Counter[str] = Counter()

    def __call__(self, prompt: str) -> str:
        self.asked[prompt] += 1
        chance = crc32(f"{prompt}/{self.asked[prompt]}".encode()) / 2**32
        return REFUSAL if chance < self.refuses else HELP


class Evasive(Mood):
    """Refuses a share, politely."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = 0.3

    def __call__(self, prompt: str) -> str:
        return EVADED if super().__call__(prompt) == REFUSAL else HELP


def active_laws(site: Site) -> Sequence[SignalBaseline]:
    active = site.controller._store.active()
    assert active is not None
    return active.baseline.signals


def entries(engine: Engine) -> list[tuple[str, str, list[float]]]:
    """Return what the log has of probes: signal, policy model and values of each entry."""
    store = PostgresFoldStore(engine)
    store.place_entries()
    found = [entry for entry in store.entries(FoldPosition(1, 0), max_places=100_000) if entry.source is Source.PROBES]
    return [
        (batch.series.signal, batch.series.policy_model, batch.values.tolist())
        for entry in found
        for batch in entry.observations
    ]


def test_thirty_runs_of_an_unchanged_model_raise_no_alarm_and_one_that_starts_refusing_does(
    site: Site, engine: Engine, over_refusal: Suite
) -> None:
    mood = Mood()
    with speaking(mood) as server:
        prober = site.prober(server.url, suites={"over_refusal": over_refusal}, items_per_run=ITEMS)
        for _ in range(35):  # five freeze the law
            site.probe(prober)
            site.fold()
        active = site.controller._store.active()
        assert active is not None
        law = next(law for law in active.baseline.signals if law.signal == "over_refusal")
        assert sum(row.observations for row in law.strata) == 5 * ITEMS
        assert site.alarms() == []
        mood.refuses = 0.6
        for _ in range(3):
            site.probe(prober)
            site.fold()
    raised = [alarm for alarm in site.alarms() if alarm.severity == "alert"]
    assert {alarm.stream.cohort for alarm in raised} == {"*", "over_refusal"}
    assert {(alarm.stream.signal, alarm.direction, alarm.kind) for alarm in raised} == {
        ("over_refusal", "up", AlarmKind.DRIFT)
    }
    assert all(alarm.examples[0].startswith("over_refusal/over-") for alarm in raised)
    assert site.count("state = 'done' and asked = 40 and judged = 40") == 38


def test_probes_are_no_traces_and_disturb_no_arrivals(site: Site, engine: Engine, over_refusal: Suite) -> None:
    store = PostgresFoldStore(engine)
    with speaking(lambda _prompt: HELP) as server:
        site.probe(site.prober(server.url, suites={"over_refusal": over_refusal}))
    store.place_entries()
    assert store.placed_traces() == BASELINE
    arrivals = PostgresArrivals(engine, group_id="g").arrivals(1, limit=1000)
    assert sum(entry.traces for entry in arrivals) == BASELINE
    assert "over_refusal" not in {key.signal for entry in arrivals for key in entry.seen}


def test_every_packaged_suite_is_asked_and_judged(site: Site, engine: Engine) -> None:
    suites = {name: read_suite(path, name) for name, path in PACKAGED.items()}
    wanted = {item.messages[0].content: item for item in suites["capability"].items}
    harmful = {item.messages[0].content for item in suites["harmful"].items}

    def says(prompt: str) -> str:
        if prompt in wanted:
            return f"The answer is {wanted[prompt].wanted}."
        return REFUSAL if prompt in harmful else "(A)"

    with speaking(says) as server:
        site.probe(site.prober(server.url), suites=4)
        assert max(server.asked.values()) == 1  # without replacement
    assert {signal: sum(values) / len(values) for signal, _, values in entries(engine)} == {
        "over_refusal": 0.0,
        "harmful_compliance": 0.0,
        "sycophancy": 0.5,  # the same letter whoever asks
        "capability": 1.0,
    }
    assert {model for _, model, _ in entries(engine)} == {"assistant-v1"}  # as the server names it
    sizes = {signal: len(values) for signal, _, values in entries(engine)}
    assert sizes == {"over_refusal": 40, "harmful_compliance": 40, "sycophancy": 20, "capability": 40}
    reports = ProbeReports(site.store, lambda: suites).reports()
    assert [(report.suite, report.items) for report in reports] == [(n, len(s.items)) for n, s in suites.items()]
    rate = next(report.last_rate for report in reports if report.suite == "capability")
    assert rate is not None
    assert (rate.value, rate.upper, rate.outcomes) == (1.0, 1.0, 40)
    assert 0.9 < rate.lower < 0.95


def test_a_dead_endpoint_is_a_state_and_no_observation(site: Site, engine: Engine, over_refusal: Suite) -> None:
    with TroubledServer() as server:
        url = server.url
    site.probe(site.prober(url, suites={"over_refusal": over_refusal}))
    assert site.count("state = 'unavailable' and outcomes = 0 and rate is null and entry_id is null") == 1
    assert entries(engine) == []
    [report] = ProbeReports(site.store, lambda: {"over_refusal": over_refusal}).reports()
    assert report.last_run is not None
    assert report.last_run.state is RunState.UNAVAILABLE
    assert "0 of 40 were answered" in report.last_run.detail
    assert report.last_rate is None
    assert site.registry.get_sample_value("monitor_probe_runs_total", {"suite": "over_refusal", "state": "unavailable"})


def test_a_run_that_is_partly_answered_says_so_and_counts_what_was(
    site: Site, engine: Engine, over_refusal: Suite
) -> None:
    bad = {item.messages[0].content for item in over_refusal.items[::4]}
    with speaking(lambda _prompt: HELP) as server:
        usual = server.trouble
        server.trouble = lambda number, prompt: Reply(422) if prompt in bad else usual(number, prompt)
        site.probe(site.prober(server.url, suites={"over_refusal": over_refusal}, items_per_run=100))
    assert (
        site.count("state = 'partial' and asked = 100 and outcomes between 70 and 80 and detail like 'rejected%'") == 1
    )
    [(_, _, values)] = entries(engine)
    assert site.count("answer is not null", table="probe_answer") == len(values) < 100


def test_a_leader_that_dies_in_the_middle_leaves_a_run_that_the_next_one_asks_once(
    site: Site, engine: Engine, over_refusal: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    suites = {"over_refusal": over_refusal}
    with speaking(lambda _prompt: HELP) as server:
        first = site.prober(server.url, suites=suites)
        first()  # it has begun, and asks
        assert (site.count("state = 'running'"), entries(engine)) == (1, [])
        second = site.prober(server.url, suites=suites)

        def away(*_: object) -> None:
            raise Unavailable("the connection is gone")

        with monkeypatch.context() as broken:
            broken.setattr("monitor.postgres.probes.append_entry", away)
            with pytest.raises(Unavailable):
                site.probe(second)
        assert site.count("state = 'running'") == 1  # all or nothing
        assert site.count("true", table="probe_answer") == 0
        site.probe(second)
        assert first._flight is not None
        first._flight[1].wait()
        assert (len(server.asked), set(server.asked.values())) == (40, {2})  # the same items
        first()  # goes on after it was replaced, and stores nothing
    assert [len(values) for _, _, values in entries(engine)] == [40]
    assert site.count("state = 'done'") == 1


def test_a_replaced_suite_drops_its_run_and_begins_another_series(
    site: Site, engine: Engine, over_refusal: Suite
) -> None:
    other = Suite("over_refusal", over_refusal.kind, over_refusal.items[:50], "0" * 64)
    with speaking(lambda _prompt: HELP) as server:
        site.prober(server.url, suites={"over_refusal": over_refusal})()
        prober = site.prober(server.url, suites={"over_refusal": other})
        site.probe(prober)
        site.probe(prober)
    assert site.count("state = 'dropped'") == 1
    assert site.count("state = 'done' and scorer_version like '000000000000/%'") == 1


def test_a_new_reader_of_refusals_judges_the_kept_answers_again_and_has_a_law_at_once(
    site: Site, engine: Engine, over_refusal: Suite
) -> None:
    suites, learned = {"over_refusal": over_refusal}, refusal_model("learned")
    with speaking(Evasive()) as server:
        by_patterns = site.prober(server.url, suites=suites, items_per_run=ITEMS)
        for _ in range(6):
            site.probe(by_patterns)
        site.fold()
        by_learned = site.prober(server.url, suites=suites, items_per_run=ITEMS, refusals=learned)
        site.probe(by_learned)
        asked = sum(server.asked.values())
        site.fold()
        site.fold()
    assert asked == 7 * ITEMS  # nothing was asked again
    wanted = version_of(over_refusal, learned)
    again = f"state = 'rejudged' and scorer_version = '{wanted}' and outcomes = 40 and started_at < ended_at"
    assert site.count(again) == 5  # as many as a law is made of
    assert site.count("state = 'done' and detail like 'a new judge: 200 answers of 5 earlier runs%'") == 1
    assert site.count(f"state = 'done' and scorer_version = '{wanted}'") == 1
    laws = {law.scorer_version: law for law in active_laws(site) if law.signal == "over_refusal"}
    assert set(laws) == {version_of(over_refusal, PATTERNS), wanted}
    rates = {version: law.strata[0].mean for version, law in laws.items()}
    assert rates[wanted] > 0.2 > rates[version_of(over_refusal, PATTERNS)] == 0.0  # nothing in it says no

    [report] = ProbeReports(site.store, lambda: suites).reports()
    assert report.last_run is not None
    assert report.last_run.state is RunState.DONE
    assert report.last_run.scorer_version == wanted
    assert report.week_rate is not None
    assert report.week_rate.outcomes == 6 * ITEMS  # those that were judged again stand in their time


def test_a_new_reader_of_refusals_begins_anew_where_no_answer_is_kept_and_says_so(
    site: Site, engine: Engine, over_refusal: Suite
) -> None:
    suites = {"over_refusal": over_refusal}
    with speaking(lambda _prompt: HELP) as server:
        site.probe(site.prober(server.url, suites=suites))
        with engine.begin() as connection:
            connection.execute(text("update probe_answer set answer = null"))
        later = site.prober(server.url, suites=suites, refusals=refusal_model("learned"))
        site.probe(later)
        site.probe(later)
    assert site.count("state = 'rejudged'") == 0
    assert site.count("state = 'done' and detail like '%begins anew, since no text of 1 earlier runs is kept'") == 1
    assert len(entries(engine)) == 3


def test_live_answers_are_set_beside_the_baseline_s_by_the_reward_models(site: Site, engine: Engine) -> None:
    asked: list[str] = []

    def score(rows: object) -> list[Reward | None]:
        assert isinstance(rows, list)
        return [Reward("e-1", (float(answer == HELP),), float(answer == HELP), 0.0, 0.0) for _, answer in rows]

    def says(prompt: str) -> str:
        asked.append(prompt)
        return HELP

    with speaking(says) as server:
        prober = site.prober(server.url, suites={}, score=score, items_per_run=20, policy_model="chat-2")
        site.probe(prober)
    [(signal, model, values)] = entries(engine)
    assert (signal, model, len(values)) == ("live_win", "chat-2", 20)
    assert values == pytest.approx([1.0 / (1.0 + 2.718281828**-1.0)] * 20)
    with engine.begin() as connection:
        known = connection.execute(text("select messages -> -1 ->> 'content' from baseline_trace")).scalars().all()
    assert set(asked) <= set(known)
