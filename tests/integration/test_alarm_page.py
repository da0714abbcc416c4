"""An alarm's page from a real database: curves within their bound, and what is stored around the alarm."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace as changed
from sqlalchemy import Engine, text

from monitor.app.baselines import Baselines
from monitor.app.explaining import AlarmPages
from monitor.app.history import StreamHistories
from monitor.demo.traffic import DRIFTED, NORMAL
from monitor.domain.alarm import AlarmKind, StoredAlarm
from monitor.domain.baseline import TraceWindow
from monitor.domain.episode import EventKind
from monitor.domain.history import HistoryRange
from monitor.domain.observation import moment_of
from monitor.domain.order import Actor, AlarmOrder, Role
from monitor.drift.controller import Controller, ControllerRules
from monitor.drift.fold import FoldRules
from monitor.drift.freeze import NullRule
from monitor.drift.rollup import roll_up
from monitor.drift.status import Streams
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.engine import transaction
from monitor.postgres.rollups import PostgresRollups
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.views.alarm_page import MOMENTS
from monitor.postgres.views.history import PostgresHistory
from monitor.postgres.views.streams import PostgresStreams
from monitor.settings.root import Settings
from monitor.signals.set import DEFAULT
from tests.integration.reasking import Ward, calls

pytestmark = pytest.mark.postgres
RULES = ControllerRules(FoldRules(), 1000, NullRule())
LONGER = replace(DRIFTED, name="longer", length_factor=2.0, refusal_rate=NORMAL.refusal_rate)


@pytest.fixture
def pages(engine: Engine) -> AlarmPages:
    return AlarmPages(engine, RULES.fold)


@pytest.fixture
def stored(engine: Engine) -> StoredAlarm:
    """A real alert: a second model comes after 1,500 traces and answers at twice the length."""
    ward, controller = Ward(engine), Controller(PostgresFoldStore(engine), RULES)
    for first in range(0, 1500, 250):
        ward.write(calls(NORMAL, "billing", 250, first=first, seed=first))
    for first in range(1500, 2250, 250):
        new = calls(LONGER, "billing", 250, first=first, seed=first)
        ward.write([changed(trace, policy_model="assistant-v2") for trace in new])
    for _ in range(3):
        controller.tick()
    found = PostgresAlarms(engine).alarms(state=None, limit=100)
    return next(
        alarm
        for alarm in found
        if (alarm.alarm.kind, alarm.alarm.stream.signal, alarm.alarm.stream.cohort, alarm.alarm.severity)
        == (AlarmKind.DRIFT, "response_length", "*", "alert")
    )


def test_the_curves_of_a_real_alarm_are_folded_to_the_very_evidence_it_was_raised_on(
    pages: AlarmPages, stored: StoredAlarm
) -> None:
    drawn = pages.curves(stored.alarm_id)
    assert drawn is not None
    assert drawn.evidence is not None
    assert (drawn.evidence.whole, drawn.evidence.agrees, drawn.until_now) == (True, True, True)
    assert [line.policy_model for line in drawn.lines] == ["assistant-v2", "assistant"]
    assert [(one.policy_model, one.place) for one in drawn.newcomers] == [("assistant-v2", 1500)]
    assert drawn.band is not None
    assert drawn.lines[0].points[-1].value > drawn.band.accepted_upper
    assert {point.place for line in drawn.lines for point in line.points} <= {at.place for at in drawn.moments}


def test_the_page_tells_both_times_of_what_happened_and_who_did_it(
    engine: Engine, pages: AlarmPages, stored: StoredAlarm
) -> None:
    alarms, ada = PostgresAlarms(engine), Actor("ada", Role.OPERATOR)
    alarms.order_alarm(stored.alarm_id, AlarmOrder.SNOOZE, actor=ada, snooze=timedelta(hours=1), note="later")
    page = pages.page(stored.alarm_id)
    assert page is not None
    assert page.sentence.startswith(f"since {stored.alarm.onset_timestamp:%Y-%m-%d %H:%M} UTC: ")
    assert " tokens (+" in page.sentence
    assert f" under assistant-v2; {stored.trace_number - stored.onset_trace_number} traces" in page.sentence  # type: ignore[operator]
    events = {event.kind: event for event in page.events}
    assert {EventKind.BASELINE, EventKind.RELEASE, EventKind.ONSET, EventKind.ALERT, EventKind.ORDER} <= events.keys()
    onset, alert, order = (events[kind] for kind in (EventKind.ONSET, EventKind.ALERT, EventKind.ORDER))
    assert onset.trace_time == stored.alarm.onset_timestamp
    assert onset.at is not None
    assert onset.at > stored.alarm.onset_timestamp + timedelta(days=1), "the traces are older than the clock"
    assert (alert.trace_time, alert.at) == (stored.alarm.timestamp, stored.created_at)
    assert (order.by, order.what, order.trace_time) == ("ada", f"snooze: alarm {stored.alarm_id}", None)
    assert order.note.startswith("until ")
    assert order.note.endswith("; later")
    assert events[EventKind.BASELINE].trace_time is not None


def test_places_are_found_by_the_index_and_those_that_are_forgotten_are_left_out(
    engine: Engine, pages: AlarmPages, stored: StoredAlarm
) -> None:
    log = pages._log
    assert [moment.place for moment in log.moments([0, 1499, 10**9])] == [0, 1499]
    assert log.end.next_place == 2250
    with transaction(engine) as connection:
        connection.execute(text("set local enable_seqscan = off"))
        plan = connection.execute(text(f"explain {MOMENTS.text}"), {"places": [1, 2]}).scalars().all()
    assert any("ix_log_entry_first_place" in line for line in plan), "\n".join(plan)
    assert pages.page(stored.alarm_id + 999) is None
    assert pages.curves(stored.alarm_id + 999) is None


def test_answers_come_with_the_texts_that_are_kept_and_without_those_that_are_gone(
    engine: Engine, pages: AlarmPages, stored: StoredAlarm
) -> None:
    found = pages.answers(stored.alarm_id)
    assert found
    assert [pair.example.trace_id for pair in found] == list(stored.alarm.examples)
    assert all(pair.example.prompt and pair.example.response for pair in found)
    alike = [answer for pair in found for answer in pair.alike]
    assert alike
    assert all(answer.response and answer.likeness and answer.trace_id.startswith("normal") for answer in alike)
    with transaction(engine) as connection:
        connection.execute(text("delete from trace"))
        connection.execute(text("update baseline_trace set response = repeat('x', 5000)"))
    after = pages.answers(stored.alarm_id)
    assert after
    assert (after[0].example.prompt, after[0].example.response) == (None, None)
    kept = after[0].alike[0].response
    assert kept is not None
    assert (len(kept), after[0].alike[0].cut) == (4000, True)
    assert pages.answers(stored.alarm_id + 999) is None


def test_the_stream_s_past_goes_to_the_alarm_s_time_beside_its_band_with_what_happened(
    engine: Engine, pages: AlarmPages, stored: StoredAlarm
) -> None:
    store = PostgresRollups(engine, days=0)
    while (unread := store.unread(max_places=500)) is not None:
        store.save(unread, roll_up(unread.seen, since=unread.since))
    page = pages.page(stored.alarm_id)
    assert page is not None
    assert page.stream_id is not None
    told = StreamHistories(engine, DEFAULT)
    found = told.history(page.stream_id, HistoryRange.WEEK, until=stored.alarm.timestamp)
    assert found is not None
    assert (found.stream.key, found.unit) == (stored.alarm.stream, "tokens")
    (held,) = found.bands
    assert (held.since, held.until) == (window_end(engine), None)
    assert found.points[-1].mean > held.band.accepted_upper
    assert sum(point.observations for point in found.points) == 750  # all of the second model's: points are hours
    assert all(point.p10 is not None and point.p10 <= point.mean <= point.p99 for point in found.points)  # type: ignore[operator]
    marks = {mark.kind: mark for mark in found.marks}
    assert marks[EventKind.ALERT].at == stored.alarm.timestamp
    assert marks[EventKind.ONSET].alarm_id == stored.alarm_id
    assert marks[EventKind.RELEASE].what.startswith("first of assistant")
    assert {name.key.policy_model for name in found.related} == {"assistant", "assistant-v2"}
    assert told.history(page.stream_id + 1000, HistoryRange.DAY, until=None) is None
    listed = {status.key: status.stream_id for status in Streams(PostgresStreams(engine)).streams()}
    assert listed[stored.alarm.stream] == page.stream_id


def test_each_baseline_s_band_goes_over_the_traces_that_came_while_it_was_the_active_one(
    engine: Engine, stored: StoredAlarm
) -> None:
    store = PostgresRollups(engine, days=0)
    while (unread := store.unread(max_places=500)) is not None:
        store.save(unread, roll_up(unread.seen, since=unread.since))
    frozen = Baselines(engine, Settings()).freeze(TraceWindow(last=500), actor=Actor("ana", Role.OPERATOR))
    new = calls(LONGER, "billing", 250, first=2250, seed=2250)
    Ward(engine, offset=2250).write([changed(trace, policy_model="assistant-v2") for trace in new])
    PostgresFoldStore(engine).place_entries()
    told = StreamHistories(engine, DEFAULT)
    number = PostgresHistory(engine).number_of(stored.alarm.stream)
    assert number is not None
    found = told.history(number, HistoryRange.WEEK, until=new[-1].timestamp)
    assert found is not None
    first, second = found.bands
    assert (first.until, second.until, second.baseline_id) == (second.since, None, frozen.baseline_id)
    assert abs(second.since - new[-1].timestamp) < timedelta(seconds=60), "the traces' time, not the clock's"
    assert second.band.mean > first.band.accepted_upper
    before = told.history(number, HistoryRange.HOURS, until=first.since + timedelta(minutes=1))
    assert before is not None
    assert [band.baseline_id for band in before.bands] == [first.baseline_id]


def window_end(engine: Engine) -> datetime:
    """Return the time of the last trace of the only baseline's window."""
    with transaction(engine) as connection:
        stop = connection.execute(text("select stop_place from baseline")).scalar_one()
        (moment,) = connection.execute(MOMENTS, {"places": [stop - 1]})
    return moment_of(int.from_bytes(moment.timestamp, "little", signed=True))
