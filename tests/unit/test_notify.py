"""When a receiver is told what: values in, a decision out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import yaml

from monitor.domain.alarm import AlarmState, Severity
from monitor.domain.incident import Incident
from monitor.domain.text import for_slack, visible
from monitor.notify.compose import MAX_LISTED, Composer
from monitor.notify.decide import FORGET, Rules, Say, Subject, decide, plan
from monitor.notify.failing import plan_others
from monitor.notify.notice import Event, Row, Snapshot, Standing, Told
from monitor.notify.pagerduty import events_of
from monitor.settings.root import Settings
from tests.hostile import LABELS
from tests.notified import NOW, RULES, incident, notice
from tests.real_kafka import ROOT

LATER = NOW + timedelta(minutes=10)
COMPOSER = Composer(lambda number: f"since then: much, incident {number}", "https://monitor.example/", None)


def row(number: int = 12, **changes: Any) -> Row:
    return replace(Row("ops", f"incident-{number}", number), **changes)


def said(about: Incident, so_far: Row | None = None, *, rules: Rules = RULES, now: Any = LATER) -> Say | None:
    return decide(so_far or row(), Subject(f"incident-{about.incident_id}", (about,)), rules, now)


def told(about: Incident, **changes: Any) -> Row:
    """Return the row of a receiver that was told of *about* as it is, at `NOW`."""
    first = said(about)
    state = first.told if first is not None else Told(Standing.LOUD, Severity.ALERT, "", 1)
    return row(sequence=1, told=state, told_at=NOW, loud_at=NOW, **changes)


def event(say: Say | None) -> Event | None:
    return None if say is None else say.event


def snapshot(incidents: Iterable[Incident], rows: Iterable[Row] = (), *, held: Iterable[int] = ()) -> Snapshot:
    return Snapshot(LATER, {one.incident_id: one for one in incidents}, frozenset(held), tuple(rows))


ACKNOWLEDGED: dict[str, Any] = {"state": AlarmState.ACKNOWLEDGED, "acknowledged_by": "ana"}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, Event.OPENED),
        ({"severity": Severity.WARNING}, None),
        (ACKNOWLEDGED, None),
        ({"state": AlarmState.RECOVERED}, None),
    ],
)
def test_a_message_is_opened_for_what_is_open_and_as_severe_as_is_wanted(
    changes: dict[str, Any], wanted: Event | None
) -> None:
    assert event(said(incident(**changes))) is wanted


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, None),
        ({"members": 5, "summary": "refusal up in *"}, Event.CHANGED),
        (ACKNOWLEDGED, Event.QUIETED),
        ({"state": AlarmState.SNOOZED}, Event.QUIETED),
        ({"state": AlarmState.RECOVERED}, Event.RESOLVED),
        ({"state": AlarmState.SUPERSEDED}, Event.RESOLVED),
        ({"severity": Severity.WARNING}, Event.RESOLVED),
    ],
)
def test_what_becomes_of_an_incident_that_was_told(changes: dict[str, Any], wanted: Event | None) -> None:
    assert event(said(incident(**changes), told(incident()))) is wanted


def test_growth_waits_for_its_time_and_severity_does_not() -> None:
    warned = told(incident(severity=Severity.WARNING), storm=None)
    rules = replace(RULES, severity=Severity.WARNING)
    so_far = replace(warned, told=Told(Standing.LOUD, Severity.WARNING, "x", 1))
    soon = NOW + timedelta(seconds=1)
    assert said(incident(severity=Severity.WARNING, members=9), so_far, rules=rules, now=soon) is None
    raised = said(incident(), so_far, rules=rules, now=soon)
    assert raised is not None
    assert (raised.event, raised.told.page) == (Event.RAISED, 2), "a page of its own"


def test_who_is_open_for_hours_is_told_again_unless_somebody_has_it() -> None:
    late = NOW + timedelta(hours=4)
    assert event(said(incident(), told(incident()), now=late)) is Event.REMINDED
    assert event(said(incident(), told(incident()), rules=replace(RULES, renotify=None), now=late)) is None
    quiet = replace(told(incident()), told=said(incident(**ACKNOWLEDGED), told(incident())).told)  # type: ignore[union-attr]
    assert said(incident(**ACKNOWLEDGED), quiet, now=late) is None
    reopened = said(incident(), quiet, now=late)
    assert reopened is not None
    assert (reopened.event, reopened.told.page) == (Event.RAISED, 2), "an acknowledged page wakes nobody again"


def test_a_message_on_its_way_is_the_same_again_until_something_else_holds() -> None:
    first = COMPOSER.notice(said(incident()), NOW)  # type: ignore[arg-type]
    sending = row(sequence=1, pending=first, pending_since=NOW, attempts=2)
    again = said(incident(), sending)
    assert again is not None
    assert (again.event, again.again) == (Event.OPENED, True)
    grown = said(incident(members=9), sending)
    assert grown is not None
    assert (grown.event, grown.again) == (Event.OPENED, False), "nobody has heard of it yet"
    assert event(said(incident(state=AlarmState.RECOVERED), sending)) is Event.RESOLVED, "it may have come"


def test_an_end_that_nobody_takes_for_a_day_is_let_go() -> None:
    over = COMPOSER.notice(said(incident(state=AlarmState.RECOVERED), told(incident())), NOW)  # type: ignore[arg-type]
    sending = row(sequence=2, pending=over, pending_since=NOW, attempts=300)
    for age, silent in ((FORGET - timedelta(1), False), (FORGET, True)):
        say = said(incident(state=AlarmState.RECOVERED), sending, now=NOW + age)
        assert say is not None
        assert say.silent is silent


def test_where_each_word_is_a_message_nobody_is_told_that_somebody_has_it_and_nothing_while_they_have() -> None:
    posting = replace(RULES, hears=frozenset(Event) - {Event.QUIETED})
    quieted = said(incident(**ACKNOWLEDGED), told(incident()), rules=posting)
    assert quieted is not None
    assert quieted.silent
    quiet = replace(told(incident()), told=quieted.told)
    assert said(incident(**ACKNOWLEDGED, members=9), quiet, rules=posting) is None
    assert event(said(incident(**ACKNOWLEDGED, members=9), quiet)) is Event.CHANGED, "where it is edited"


def test_a_page_that_waits_for_a_verdict_is_not_told() -> None:
    assert plan(snapshot([incident()], held=[12]), "ops", RULES) == []
    assert [say.event for say in plan(snapshot([incident()]), "ops", RULES)] == [Event.OPENED]


def test_a_storm_is_one_message_beside_those_of_the_hour_and_ends_with_its_last_incident() -> None:
    many = [incident(number) for number in range(1, 30)]
    planned = plan(snapshot(many), "ops", RULES)
    assert [say.subject.name for say in planned] == ["incident-1", "incident-2", "incident-3", "storm-4"]
    storm = planned[-1]
    assert storm.subject.joined == tuple(range(4, 30))
    said_of_it = COMPOSER.notice(storm, NOW)
    assert said_of_it.title == "[ALERT] 26 incidents: 26 of them are not over"
    assert len(said_of_it.lines) == MAX_LISTED + 1
    assert said_of_it.lines[-1].startswith("and 6 more")
    rows = [told(one) for one in many[:3]]
    rows = [replace(each, subject=f"incident-{n}", incident_id=n) for n, each in enumerate(rows, start=1)]
    rows += [row(number, storm="storm-4") for number in range(4, 30)]
    rows.append(replace(row(4), subject="storm-4", sequence=1, told=storm.told, told_at=NOW, loud_at=NOW))
    assert plan(snapshot(many, rows), "ops", RULES) == []
    more = [*many, incident(30)]
    (grown,) = plan(snapshot(more, rows), "ops", RULES)
    assert (grown.event, grown.subject.name, len(grown.subject.joined)) == (Event.CHANGED, "storm-4", 27)
    over = [incident(number, state=AlarmState.RECOVERED) for number in range(1, 30)]
    events = {say.subject.name: say.event for say in plan(snapshot(over, rows), "ops", RULES)}
    assert events == dict.fromkeys(["incident-1", "incident-2", "incident-3", "storm-4"], Event.RESOLVED)


def test_a_receiver_that_is_away_gathers_a_storm_and_not_a_heap_of_messages() -> None:
    first = COMPOSER.notice(said(incident(1)), NOW)  # type: ignore[arg-type]
    rows = [row(n, pending=replace(first, subject=f"incident-{n}"), pending_since=NOW, attempts=5) for n in (1, 2, 3)]
    planned = plan(snapshot([incident(number) for number in range(1, 10)], rows), "ops", RULES)
    assert {say.subject.name for say in planned} == {"incident-1", "incident-2", "incident-3", "storm-4"}


def test_a_notice_says_the_alarm_s_own_sentence_and_where_to_read_on() -> None:
    made = COMPOSER.notice(said(incident()), NOW)  # type: ignore[arg-type]
    assert made.title == "[ALERT] incident 12: response_length up in *"
    assert made.lines[0] == "since then: much, incident 12"
    assert "likely cause: policy model, assistant-v2 came at 2026-11-22 02:00Z" in made.lines
    assert made.link == "https://monitor.example/incidents/12"
    assert made.runbook == "dashboards/runbooks/RlhfMonitorDriftAlarm.md"
    assert made.idempotency_key == f"rlhf-monitor-incident-12-{int(NOW.timestamp() * 1e6):x}-1"
    quieted = COMPOSER.notice(said(incident(**ACKNOWLEDGED), told(incident())), LATER)  # type: ignore[arg-type]
    assert (quieted.sequence, quieted.title[:29]) == (2, "[acknowledged by ana] inciden")


@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
def test_a_hostile_label_is_one_visible_line_in_every_text(label: str) -> None:
    about = incident(summary=f"refusal up in {label}", acknowledged_by=label)
    made = Composer(lambda _: f"under {label}", None, None).notice(said(about), NOW)  # type: ignore[arg-type]
    for text in (made.title, *made.lines):
        assert text == visible(text)
        assert not {"<", ">"} & set(for_slack(text))


def test_pagerduty_is_triggered_acknowledged_and_resolved_by_one_key_and_what_is_heard_anew_has_its_own() -> None:
    def actions(**changes: Any) -> list[tuple[str, str]]:
        sent = events_of(notice(**changes))
        return [(one["event_action"], one["dedup_key"].rpartition("-")[2]) for one in sent]

    quiet, over = Told(Standing.QUIET, Severity.ALERT, "", 1), Told(Standing.OVER, Severity.ALERT, "", 2)
    assert actions() == [("trigger", "p1")]
    assert actions(event=Event.CHANGED) == [("trigger", "p1")]
    assert actions(event=Event.QUIETED, told=quiet) == [("acknowledge", "p1")]
    raised = actions(event=Event.RAISED, told=replace(over, standing=Standing.LOUD))
    assert raised == [("trigger", "p2"), ("resolve", "p1")]
    lost = actions(event=Event.QUIETED, told=replace(over, standing=Standing.QUIET))
    assert lost == [("acknowledge", "p2"), ("resolve", "p1")], "the trigger of the second may never have come"
    assert actions(event=Event.RESOLVED, told=over) == [("resolve", "p2"), ("resolve", "p1")]


def test_what_two_monitors_tell_of_receivers_of_one_name_is_told_apart() -> None:
    def keys(first_failed: Any) -> list[str]:
        """Return the keys under which a monitor tells that its receiver `ops` fails, is well, and fails again."""
        waits = row(pending=notice(), pending_since=first_failed, error="HTTP 403", refused=True)
        known, found = Row("pager", "receiver-ops", None), list[str]()
        for rows, now in ([waits], NOW), ([], LATER), ([replace(waits, pending_since=LATER)], LATER):
            (say,) = plan_others(Snapshot(now, {}, frozenset(), (*rows, known)), "pager", ["ops"])
            made = COMPOSER.notice(say, now)
            known, found = replace(known, told=made.told, sequence=made.sequence), [*found, made.key]
        return found

    mine, theirs = keys(NOW), keys(NOW - timedelta(seconds=1))
    assert len(set(mine)) == len(set(theirs)) == 1, "one key from its failing to its end, and when it fails again"
    assert mine[0] != theirs[0]


def test_the_example_of_the_page_is_accepted() -> None:
    page = (ROOT / "docs" / "notifications.md").read_text()
    settings = Settings.model_validate(yaml.safe_load(page.split("```yaml\n")[1].split("```")[0]))
    assert settings.notify.slack["oncall"].is_bot
    assert settings.notify.email["team"].security == "starttls"
