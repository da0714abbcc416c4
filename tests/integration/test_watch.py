"""The watch over a real log: told once, by whatever leader, and ended when data is back."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text

from monitor.app.watch import WatchArrivals
from monitor.domain.alarm import AlarmKind, AlarmState, Severity, StoredAlarm
from monitor.domain.label import PREFERENCE
from monitor.domain.observation import LogEntry, Series, Source, Subjects, batch_of, micros_of
from monitor.domain.review import Selection
from monitor.domain.score import Opinion
from monitor.drift.controller import Controller
from monitor.drift.incident import IncidentRule
from monitor.drift.watch import WatchRules
from monitor.ingest.offset import StoredOffset
from monitor.postgres.alarms import PostgresAlarmFacts, PostgresAlarms
from monitor.postgres.arrivals import PostgresArrivals
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import transaction
from monitor.postgres.incidents import PostgresIncidents
from monitor.postgres.log import append_entry
from monitor.postgres.streams import PostgresFoldStore
from monitor.settings.root import Settings
from monitor.telemetry.metrics import Metrics
from tests.commands import Run
from tests.program import Site, running, wait_for
from tests.real_kafka import Kafka
from tests.traces import checkpoint, line, scored, trace
from tests.watched import rules_of

ENTRIES, PERIOD = 400, timedelta(seconds=5)
# Half an hour past a full hour, so that no hour begins meanwhile: those of a new kind are only warned of.
BEGIN = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
WRITTEN_AT = text("update log_entry set created_at = :at where entry_id = (select max(entry_id) from log_entry)")


class WrittenLog:
    """A log whose entries were written `PERIOD` apart, and leaders that look at it at a time that is given."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.at, self.traces = engine, BEGIN, 0
        self.fold = PostgresFoldStore(engine)
        self.checkpoints = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
        self.checkpoints.begin({("traces", 0): StoredOffset(0)})

    def write(self, entries: int, *, cohorts: int = 2) -> None:
        for _ in range(entries):
            self.at += PERIOD
            numbers = range(self.traces, self.traces + 2)
            items = [trace(2 * number + number % cohorts, timestamp=self.at) for number in numbers]
            self.checkpoints.write(checkpoint(scored(items), start=self.traces))
            self.traces += 2
            with transaction(self.engine) as connection:
                connection.execute(WRITTEN_AT, {"at": self.at})
        wait_for(lambda: self.fold.place_entries().next_place == self.traces, "the places")

    def leader(self) -> WatchArrivals:
        store = PostgresArrivals(self.engine, group_id="group")
        store.now = lambda: self.at  # type: ignore[method-assign]
        return WatchArrivals(
            store,
            WatchRules(takeover_seconds=30.0),
            active=self.fold.active,
            filing=IncidentRule().file,
            reads=lambda: True,
            waiting=lambda: 0,
            metrics=Metrics(CollectorRegistry()),
        )

    def alarms(self) -> list[StoredAlarm]:
        return list(PostgresAlarms(self.engine).alarms(state=None, limit=100))


@pytest.fixture
def site(engine: Engine) -> WrittenLog:
    return WrittenLog(engine)


def test_what_the_queue_and_labels_write_neither_sends_nor_can_fall_silent(site: WrittenLog) -> None:
    drawn = (Selection(PREFERENCE, 0.5, 0.5, selected=False),)
    pairs = scored([trace(number, reference_response="So.") for number in range(2)])
    items = [structs.replace(item, selections=drawn, opinion=Opinion("v1", 0.7)) for item in pairs]
    site.checkpoints.write(checkpoint(items))
    subjects = Subjects(("t-0", "t-1"), micros_of([BEGIN, BEGIN]))
    rates = batch_of(Series("win_rate", "phi-2", "any"), [(0, "a", 1.4), (1, "a", -0.2)])
    with transaction(site.engine) as connection:
        append_entry(connection, LogEntry(Source.LABELS, subjects, (rates,)))
    wait_for(lambda: site.fold.place_entries().next_place == 4, "the places")
    [traces, labels] = PostgresArrivals(site.engine, group_id="group").arrivals(1, limit=10)
    stored = {batch.series.signal for batch in site.fold.window(0, 4)}
    assert {key.signal for key in traces.seen} == stored - {"selected_preference", "length_gap", "win_rate"}
    assert "reward_win" in {key.signal for key in traces.seen}
    assert (traces.traces, labels.traces, labels.seen, labels.last_timestamp) == (2, 0, {}, None)


@pytest.mark.postgres
def test_a_silence_is_told_once_by_whatever_leader_and_ends_when_data_is_back(
    site: WrittenLog, postgres_url: str, run: Run
) -> None:
    site.write(ENTRIES)
    first = site.leader()
    while first():
        pass
    assert site.alarms() == []
    site.at += timedelta(minutes=5)
    first()
    (told,) = site.alarms()
    assert (told.alarm.kind, told.alarm.severity, told.state) == (AlarmKind.NO_DATA, Severity.ALERT, AlarmState.OPEN)
    assert told.alarm.detail == "no traces for 5 min; at these hours one usually comes every 5.0 s"
    (incident,) = PostgresIncidents(site.engine).open_incidents()
    assert incident.facts.pages
    with transaction(site.engine) as connection:
        assert PostgresAlarmFacts(connection).facts() == ()  # training mends no silence
    explained = run("alarms", "explain", told.alarm_id, POSTGRES__URL=postgres_url)
    assert told.alarm.detail in " ".join(explained.out.split())
    assert "effect" not in explained.out
    second = site.leader()
    for _ in range(3):  # it begins where the first one was, and does not know for how long nobody read
        assert not second()
        site.at += timedelta(seconds=5)
    assert [item.state for item in site.alarms()] == [AlarmState.OPEN]
    site.write(1)
    second()
    assert [item.state for item in site.alarms()] == [AlarmState.RECOVERED]
    site.write(10)
    second()
    site.at += timedelta(minutes=5)
    second()
    assert [(item.state, item.alarm.episode) for item in site.alarms()] == [
        (AlarmState.OPEN, 1),
        (AlarmState.RECOVERED, 0),
    ]


@pytest.mark.postgres
def test_a_cohort_that_the_baseline_does_not_know_is_told_until_a_baseline_does(site: WrittenLog) -> None:
    rules = rules_of(200)
    site.write(100, cohorts=1)
    Controller(site.fold, rules).tick()
    leader = site.leader()
    leader()
    site.write(100)
    leader()
    (told,) = site.alarms()
    assert (told.alarm.kind, told.alarm.stream.cohort) == (AlarmKind.UNWATCHED_COHORT, "dataset=vicuna")
    assert told.alarm.severity is Severity.WARNING
    leader()
    assert len(site.alarms()) == 1


@pytest.mark.postgres
@pytest.mark.kafka
def test_a_daemon_whose_traffic_stops_tells_it_once_and_that_it_is_back(
    kafka: Kafka, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.app.duties.WATCH_SECONDS", 0.2)
    site = Site(kafka, postgres_url, baseline_traces=0)
    number = 0

    def send(seconds: float) -> None:
        nonlocal number
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            site.send([line(trace(number, timestamp=datetime.now(UTC)))])
            number += 1

    def states() -> list[tuple[str, str]]:
        return [(kind, state) for kind, state in site.query("select kind, state from alarm order by alarm_id")]

    with running(Settings(**site.form())) as daemon:  # type: ignore[arg-type]
        wait_for(lambda: daemon.health.ready()[0], "a ready daemon")
        send(15.0)
        assert states() == []
        wait_for(lambda: states() == [("no_data", "open")], "the alarm")
        time.sleep(3.0)
        send(1.0)
        wait_for(lambda: states() == [("no_data", "recovered")], "its end")
        send(2.0)
    assert states() == [("no_data", "recovered")]
