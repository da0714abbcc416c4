"""Whatever becomes of an incident and of the messages on it, the receiver ends up knowing what holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alarm import AlarmState, Severity
from monitor.notify.compose import Composer
from monitor.notify.decide import Subject, decide, standing_of
from monitor.notify.notice import Notice, Row, Standing
from monitor.notify.pagerduty import events_of
from tests.notified import NOW, RULES, incident

COMPOSER = Composer(lambda _: None, None, None)
STATES = st.sampled_from(list(AlarmState))
FACTS = st.fixed_dictionaries({"state": STATES, "severity": st.sampled_from(Severity), "members": st.integers(1, 3)})
OUTCOMES = st.sampled_from(["taken", "lost", "half", "answer lost"])
STEPS = st.lists(st.tuples(FACTS, OUTCOMES), max_size=12)


class Pager:
    """What PagerDuty makes of events: by each key triggered, acknowledged or resolved."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.woken: list[str] = []

    def take(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            key, state = event["dedup_key"], self.pages.get(event["dedup_key"], "resolved")
            if event["event_action"] == "trigger" and state == "resolved":
                self.pages[key] = "triggered"
                self.woken.append(key)
            elif event["event_action"] == "resolve":
                self.pages[key] = "resolved"
            elif event["event_action"] == "acknowledge" and state != "resolved":
                self.pages[key] = "acknowledged"


def turn(row: Row, about: Subject, outcome: str, pager: Pager, now: datetime) -> Row:
    """Return *row* after one turn in which a message, where there is one, comes to *outcome*."""
    say = decide(row, about, RULES, now)
    if say is None:
        return row
    notice: Notice = row.pending if say.again and row.pending is not None else COMPOSER.notice(say, now)
    sent = events_of(notice)
    pager.take(sent[:1] if outcome == "half" else [] if outcome == "lost" else sent)
    if outcome != "taken" and not say.silent:
        return replace(row, sequence=notice.sequence, pending=notice, pending_since=row.pending_since or now)
    heard = now if notice.event.is_loud else row.loud_at
    done = replace(row, sequence=notice.sequence, told=notice.told, told_at=now, loud_at=heard)
    return replace(done, pending=None, pending_since=None)


@given(steps=STEPS, last=FACTS)
def test_a_pager_ends_up_with_the_one_page_that_holds_whatever_was_lost_on_the_way(
    steps: list[tuple[dict[str, Any], str]], last: dict[str, Any]
) -> None:
    row, pager, now = Row("ops", "incident-12", 12), Pager(), NOW
    for facts, outcome in [*steps, *[(last, "taken")] * 3]:
        now += timedelta(minutes=10)
        row = turn(row, Subject("incident-12", (incident(**facts),)), outcome, pager, now)
    standing = standing_of(Subject("incident-12", (incident(**last),)), RULES.severity)
    live = [state for state in pager.pages.values() if state != "resolved"]
    assert row.pending is None
    if standing is Standing.LOUD:
        assert live == ["triggered"]
    elif standing is Standing.QUIET:
        assert live in (["acknowledged"], [])
    else:
        assert live == []
    assert len(pager.woken) == len(set(pager.woken)), "a page wakes once, however often its message is sent"
