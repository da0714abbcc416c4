"""A version that comes after the baseline: its law is read from the kept answers, and nothing is told of the change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine, text

from monitor.app.duties import versions_of
from monitor.domain.alarm import AlarmState, Severity, StoredAlarm
from monitor.domain.cohort import ALL
from monitor.domain.observation import ObservationBatch
from monitor.domain.signal import Observation
from monitor.domain.stream import StreamKey
from monitor.domain.trace import Trace
from monitor.drift import versions
from monitor.drift.baseline import Baseline
from monitor.drift.controller import VERSION_SECONDS, Controller
from monitor.drift.fold import Fold
from monitor.drift.stored import ActiveBaseline, FoldPosition, FoldStep
from monitor.drift.versions import AGAIN_SECONDS, GONE_SECONDS, STRANGE_SECONDS, Reader, VersionLaws
from monitor.ingest.offset import StoredOffset
from monitor.observe.gather import gather
from monitor.observe.step import Observed
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.versions import PostgresVersions
from monitor.signals.refusal import REFUSAL
from monitor.signals.repetition import LOOP
from monitor.signals.set import choose
from tests.program import wait_for
from tests.traces import checkpoint, observed, scored, trace
from tests.watched import rules_of

pytestmark = pytest.mark.postgres
BASELINE = 600
RULES = rules_of(BASELINE)
EVADES, REFUSES = "That is a decision only you can take.", "I'm sorry, but I can't help with that request."
OLD, NEW = "plain-1", "wide-2"


def reads_plain(traces: Sequence[Trace]) -> list[list[Observation]]:
    """Know what says no in so many words."""
    return [[Observation(REFUSAL.name, OLD, float(item.response == REFUSES))] for item in traces]


def reads_all(traces: Sequence[Trace]) -> list[list[Observation]]:
    """Know polite refusals too."""
    return [[Observation(REFUSAL.name, NEW, float(item.response in {REFUSES, EVADES}))] for item in traces]


def answers(start: int, count: int, *, evading: float = 0.12, refusing: float = 0.03) -> list[Trace]:
    chance = np.random.default_rng(start).random(count)
    return [
        trace(
            start + number,
            response=REFUSES if at < refusing else EVADES if at < refusing + evading else f"Answer {start + number}.",
        )
        for number, at in enumerate(chance)
    ]


class Site:
    """A log that workers of any program write to, and a leader of any program."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.log = engine, PostgresFoldStore(engine)
        self.checkpoints = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
        self.checkpoints.begin({("traces", 0): StoredOffset(0)})
        self.offset, self.seconds = 0, 0.0
        self.lead(reads_plain)

    def lead(
        self,
        read: Reader,
        *,
        signals: Sequence[str] = (REFUSAL.name,),
        edition: Callable[[], object] = lambda: None,
    ) -> None:
        """Let a leader take over whose program reads traces by *read*."""
        store, clock = PostgresVersions(self.engine), lambda: self.seconds
        self.versions = VersionLaws(store, read, RULES.null_rule, signals=signals, edition=edition, clock=clock)
        self.controller = Controller(self.log, RULES, versions=self.versions, clock=clock)

    def write(self, traces: Sequence[Trace], read: Reader, *, lead: bool = True) -> None:
        """Store *traces* as a worker does that reads refusals by *read*, in batches of 30, and lead meanwhile."""
        for start in range(0, len(traces), 30):
            items = scored(traces[start : start + 30])
            written = checkpoint(items, start=self.offset)
            self.checkpoints.write(replace(written, observed=read_by(observed(items), read)))
            self.offset += len(items)
            if lead:
                self.turn()

    def turn(self, seconds: float = VERSION_SECONDS) -> None:
        self.seconds += seconds
        wait_for(lambda: self.log.place_entries().next_place == self.offset, "the places")
        while (tick := self.controller.tick()).folded < tick.places:
            pass

    def observations(self, version: str) -> int:
        query = "select coalesce(sum(observations), 0) from detector where scorer_version = :version and cohort = '*'"
        with self.engine.begin() as connection:
            return int(connection.execute(text(query), {"version": version}).scalar_one())

    def alarms(self, severity: Severity = Severity.ALERT) -> list[StoredAlarm]:
        found = PostgresAlarms(self.engine).alarms(state=None, limit=100)
        return [one for one in found if one.alarm.severity is severity]

    def active(self) -> ActiveBaseline:
        active = self.log.active()
        assert active is not None
        return active


def read_by(seen: Observed, read: Reader) -> Observed:
    """Return *seen* with its refusals as *read* tells them."""
    found = read([item.trace for item in seen.traces])

    def reread(batch: ObservationBatch) -> ObservationBatch:
        if batch.series.signal != REFUSAL.name:
            return batch
        own = [found[place][0] for place in batch.places]
        series = replace(batch.series, scorer_version=own[0].scorer_version)
        return replace(batch, series=series, values=np.array([one.value for one in own]))

    entry = replace(
        seen.entry, observations=tuple(sorted(map(reread, seen.entry.observations), key=lambda b: b.series))
    )
    return replace(seen, entry=entry)


@pytest.fixture
def site(postgres_url: str) -> Iterator[Site]:
    engine = create_engine_for(postgres_url)
    site = Site(engine)
    site.write(answers(0, 1200), reads_plain)
    yield site
    engine.dispose()


def test_a_new_version_is_followed_from_its_first_value_and_only_a_true_drift_alarms(site: Site) -> None:
    site.lead(reads_all)
    site.write(answers(1200, 2400), reads_all)
    assert site.alarms() == []  # it reads refusals five times as often as the version before
    assert site.observations(NEW) == 2400
    law = site.active().baseline.get(REFUSAL.name, NEW)
    kept = reads_all(answers(0, 1200)[:BASELINE])
    assert law is not None
    assert sum(row.observations for row in law.strata) == BASELINE
    means = [row.mean * row.observations for row in law.strata]
    assert sum(means) / BASELINE == pytest.approx(np.mean([seen[0].value for seen in kept]))
    site.write(answers(3600, 900, evading=0.35), reads_all)
    assert (REFUSAL.name, ALL, NEW) in {
        (one.alarm.stream.signal, one.alarm.stream.cohort, one.alarm.stream.scorer_version) for one in site.alarms()
    }
    assert {one.alarm.stream.scorer_version for one in site.alarms()} == {NEW}


def test_what_a_version_wrote_before_a_leader_knew_it_is_folded_as_if_it_had(site: Site) -> None:
    site.write(answers(1200, 900), reads_all)  # under a leader of the release before
    site.write(answers(2100, 600, evading=0.4), reads_all)
    assert site.observations(NEW) == 0
    assert site.alarms() == []
    site.lead(reads_all)
    site.turn()
    assert site.observations(NEW) == 1500
    assert {one.alarm.stream.scorer_version for one in site.alarms()} == {NEW}
    whole = Fold(site.active().baseline, RULES.fold)
    place = site.active().baseline.stop_place
    for entry in site.log.entries(site.log.position_at(place), max_places=10_000):
        whole.add(entry)
    site.lead(reads_all)  # what is stored is what a leader goes on with
    statuses = {status.key: status for status in site.controller.tick().statuses}
    for cohort in (ALL, "dataset=koala"):
        key = StreamKey(REFUSAL.name, cohort, "phi-2", NEW)
        assert statuses[key].observations == whole.streams[key].observations
        assert statuses[key].evidence_log == pytest.approx(whole.evidence_log(key))


def test_a_slow_reading_takes_several_turns_and_a_new_leader_begins_it_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "SLICE_SECONDS", -1.0)
    site.lead(reads_all)
    site.write(answers(1200, 30), reads_all)
    site.turn()
    assert site.active().baseline.get(REFUSAL.name, NEW) is None
    assert site.versions.unfollowed().reason((REFUSAL.name, NEW)) is None  # nobody is told of it: its law comes
    site.lead(reads_all)
    for _ in range(BASELINE // versions.SLICE_TRACES + 1):
        site.turn()
    assert site.active().baseline.get(REFUSAL.name, NEW) is not None
    assert site.observations(NEW) == 30


def test_a_reader_that_is_exchanged_while_the_leader_runs_reads_the_whole_window_by_itself(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "SLICE_SECONDS", -1.0)
    reads, slices = [reads_plain], BASELINE // versions.SLICE_TRACES

    def reading(traces: Sequence[Trace]) -> Sequence[Sequence[Observation]]:
        return reads[0](traces)

    site.lead(reading, edition=lambda: reads[0])
    site.write(answers(1200, 30), reads_all)  # by another worker, which was quicker
    for _ in range(slices // 2):
        site.turn()
    reads[0] = reads_all
    for _ in range(slices + 2):
        site.turn()
    law = site.active().baseline.get(REFUSAL.name, NEW)
    assert law is not None
    assert sum(row.observations for row in law.strata) == BASELINE
    assert site.observations(NEW) == 30


def test_laws_that_are_added_meanwhile_are_kept(site: Site) -> None:
    site.lead(reads_all)
    active = site.active()

    class Overtaken(PostgresFoldStore):
        def adopt(self, active: ActiveBaseline, baseline: Baseline, step: FoldStep) -> ActiveBaseline | None:
            site.log.extend(active, active.baseline)  # another source of laws was first
            return super().adopt(active, baseline, step)

    store = Overtaken(site.engine)
    site.controller = Controller(store, RULES, versions=site.versions, clock=lambda: site.seconds)
    site.write(answers(1200, 30), reads_all)
    assert site.active().baseline.get(REFUSAL.name, NEW) is None
    site.controller = Controller(site.log, RULES, versions=site.versions, clock=lambda: site.seconds)
    site.turn()
    assert site.active().baseline.get(REFUSAL.name, NEW) is not None
    assert site.active().revision == active.revision + 2


def test_during_a_rollout_both_versions_are_followed_and_nothing_alarms(site: Site) -> None:
    site.lead(reads_all)
    for number in range(20):
        traces = answers(1200 + 60 * number, 60)
        site.write(traces[:30], reads_plain)
        site.write(traces[30:], reads_all)
        site.turn(GONE_SECONDS)
        site.lead((reads_all, reads_plain)[number % 2])
    assert (site.observations(OLD), site.observations(NEW)) == (1200, 600)
    assert site.alarms() == []


def test_the_alarms_of_a_version_that_nobody_writes_any_more_end_with_it(site: Site) -> None:
    def states() -> set[AlarmState]:
        return {one.state for one in site.alarms()}

    site.write(answers(1200, 900, refusing=0.3), reads_plain)
    assert states() == {AlarmState.OPEN}
    site.lead(reads_all)
    site.write(answers(2100, 30), reads_all)
    site.turn(GONE_SECONDS)
    assert states() == {AlarmState.OPEN}  # a hundred entries back it was still written
    site.write(answers(2130, 3030), reads_all)
    site.turn(GONE_SECONDS)
    assert states() == {AlarmState.SUPERSEDED}
    site.write(answers(5160, 30), reads_plain)  # rolled back
    assert states() == {AlarmState.OPEN}


def test_a_version_of_which_no_text_is_kept_says_so(site: Site) -> None:
    with site.engine.begin() as connection:
        connection.execute(text("delete from baseline_trace"))
    site.lead(reads_all)
    site.write(answers(1200, 60), reads_all)
    why = site.versions.unfollowed().reason((REFUSAL.name, NEW))
    assert why == "no text of the baseline's window is kept"
    assert site.observations(NEW) == 0


def test_erased_texts_are_not_read_and_too_few_make_no_law(site: Site) -> None:
    with site.engine.begin() as connection:
        connection.execute(text("delete from baseline_trace where place >= 15"))
    site.lead(reads_all)
    site.write(answers(1200, 60), reads_all)
    why = site.versions.unfollowed().reason((REFUSAL.name, NEW))
    assert why == "of 15 kept answers of the baseline's window only 15 can be read again"


def test_what_could_not_be_read_is_read_an_hour_later(site: Site) -> None:
    def away(traces: Sequence[Trace]) -> list[list[Observation]]:
        return [[] for _ in traces]

    site.lead(away)
    site.write(answers(1200, 60), reads_all)
    assert "only 0 can be read again" in (site.versions.unfollowed().reason((REFUSAL.name, NEW)) or "")
    site.versions._read = reads_all
    site.turn()
    assert site.observations(NEW) == 0
    site.turn(AGAIN_SECONDS)
    assert site.observations(NEW) == 60


def test_a_version_that_this_program_does_not_compute_is_told_once_no_rollout_explains_it(site: Site) -> None:
    site.write(answers(1200, 60), reads_all)
    assert site.versions.unfollowed().reason((REFUSAL.name, NEW)) is None
    site.turn(STRANGE_SECONDS)
    assert site.versions.unfollowed().reason((REFUSAL.name, NEW)) == "another release, or other settings, compute it"


def test_a_signal_that_hangs_on_more_than_the_texts_is_told_at_once(site: Site) -> None:
    site.lead(reads_all, signals=())
    site.write(answers(1200, 60), reads_all)
    assert site.versions.unfollowed().reason((REFUSAL.name, NEW)) == ""
    assert site.observations(NEW) == 0


def test_a_version_that_came_back_is_caught_up_from_its_return(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.postgres.version_span.PAGE_ENTRIES", 5)
    site.write(answers(1200, 30), reads_all)
    site.write(answers(1230, 300), reads_plain)
    site.write(answers(1530, 60), reads_all)
    assert site.log.began((REFUSAL.name, NEW), since=BASELINE) == 1530
    assert site.log.began((REFUSAL.name, "none"), since=BASELINE) is None
    assert site.log.position_at(1530) == FoldPosition(52, 1530)


def test_a_window_that_is_frozen_again_keeps_the_texts_that_are_forgotten_elsewhere(site: Site) -> None:
    with site.engine.begin() as connection:
        connection.execute(text("delete from trace"))
        connection.execute(text("delete from baseline_trace where place < 10"))  # erased
    window = site.active().baseline
    again = site.log.freeze(window, by="controller", note="again", instead_of=site.active().baseline_id)
    kept = site.versions._store.kept_traces(again.baseline_id, after=-1, limit=BASELINE)
    assert [item.place for item in kept] == list(range(10, BASELINE))


def test_an_optional_signal_that_is_switched_on_later_is_followed_at_once(site: Site) -> None:
    rule = replace(RULES.null_rule, signals=choose(on=(LOOP.name,)))
    rules = replace(RULES, null_rule=rule)
    site.versions = versions_of(site.engine, rules)
    site.controller = Controller(site.log, rules, versions=site.versions, clock=lambda: site.seconds)
    items = scored(answers(1200, 60))
    written = checkpoint(items, start=site.offset)
    entry = gather(items, signals=rule.signals)
    site.checkpoints.write(replace(written, observed=replace(written.observed, entry=entry)))
    site.offset += len(items)
    site.turn()
    (law,) = (law for law in site.active().baseline.signals if law.signal == LOOP.name)
    assert sum(row.observations for row in law.strata) == BASELINE
    told = [status for status in site.controller.tick().statuses if status.key.signal == LOOP.name]
    assert {status.observations for status in told if status.key.cohort == ALL} == {60}
