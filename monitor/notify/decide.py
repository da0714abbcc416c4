"""When a receiver is told what: decisions about values, without a clock or a network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.domain.alarm import AlarmState, Severity
from monitor.domain.incident import RANK, Incident
from monitor.notify.notice import Event, Failing, Row, Snapshot, Standing, Told

FORGET = timedelta(hours=24)  # an end that nobody took for so long is not told any more
STORM = "storm-"


@dataclass(frozen=True, slots=True)
class Rules:
    """What one receiver wants to hear."""

    severity: Severity
    renotify: timedelta | None  # while it is open and nobody has acknowledged it; None: never
    update: timedelta  # least time between a message and one that nobody has to be woken for
    hears: frozenset[Event]
    per_hour: int  # subjects that may be heard in an hour; more are told as one


@dataclass(frozen=True, slots=True)
class Subject:
    """What one message is about: an incident, a storm of them, or another receiver."""

    name: str
    incidents: tuple[Incident, ...]
    receiver: str | None = None
    failing: Failing | None = None  # how that receiver fails; None: it takes messages again

    @property
    def joined(self) -> tuple[int, ...]:
        """Return the incidents that it tells of in place of messages of their own."""
        return tuple(one.incident_id for one in self.incidents) if self.name.startswith(STORM) else ()


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the receiver of *row* about *subject*."""

    row: Row
    subject: Subject
    event: Event
    told: Told
    again: bool = False  # the very message that is on its way
    silent: bool = False  # it is taken down as told, and not said

    @property
    def key(self) -> str:
        """Return what no other monitor calls a subject of its own: another's receiver may bear the same name.

        A database made anew counts incidents from 1 again.
        """
        incidents, name = self.subject.incidents, f"rlhf-monitor-{self.subject.name}"
        began = incidents[0].created_at if incidents else self.told.first_at
        return name if began is None else f"{name}-{int(began.timestamp() * 1e6):x}"


def standing_of(subject: Subject, severity: Severity) -> Standing:
    """Return what *subject* asks of somebody who hears of *severity* and above."""
    wanted = [one.facts for one in subject.incidents if RANK[one.facts.severity] >= RANK[severity]]
    live = {facts.state for facts in wanted if facts.state.is_live}
    if AlarmState.OPEN in live:
        return Standing.LOUD
    return Standing.QUIET if live else Standing.OVER


def decide(row: Row, subject: Subject, rules: Rules, now: datetime) -> Say | None:
    """Return what the receiver of *row* is to be told of *subject* now; None for nothing.

    What is on its way counts as told: nobody knows whether it came. It is sent again as it
    was, unless something else holds by now that has to be said.
    """
    last, pending = (row.told if row.pending is None else row.pending.told), row.pending
    state = _state_of(subject, rules.severity, page=1 if last is None else last.page)
    if last is None:
        return Say(row, subject, Event.OPENED, state) if state.standing is Standing.LOUD else None
    event = _event(row, last, state, rules=rules, now=now)
    if event is Event.CHANGED and pending is not None and pending.event.is_loud:
        event = pending.event  # it has not been heard yet
    if event is None and pending is not None:
        late = last.standing is Standing.OVER and now - (row.pending_since or now) >= FORGET
        return Say(row, subject, pending.event, last, again=True, silent=late)
    if event is None:
        return None
    told = replace(state, page=last.page + 1) if event is Event.RAISED else state
    return Say(row, subject, event, told, silent=event not in rules.hears)


def _state_of(subject: Subject, severity: Severity, *, page: int) -> Told:
    facts = [one.facts for one in subject.incidents]
    live = [one for one in facts if one.state.is_live]
    shown = [
        [one.state, one.severity, one.members, one.summary, one.acknowledged_by, *(why.because for why in one.causes)]
        for one in facts
    ]
    digest = hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16]
    highest = max((one.severity for one in live or facts), key=RANK.__getitem__)
    return Told(standing_of(subject, severity), highest, digest, page)


def _event(row: Row, last: Told, state: Told, *, rules: Rules, now: datetime) -> Event | None:
    if state.standing is Standing.OVER:
        return None if last.standing is Standing.OVER else Event.RESOLVED
    if state.standing is Standing.QUIET and last.standing is Standing.LOUD:
        return Event.QUIETED
    if state.standing is Standing.QUIET and (last.standing is Standing.OVER or Event.QUIETED not in rules.hears):
        return None
    if state.standing is Standing.LOUD:
        if last.standing is not Standing.LOUD or RANK[state.severity] > RANK[last.severity]:
            return Event.RAISED
        if rules.renotify is not None and row.pending is None and now - (row.loud_at or now) >= rules.renotify:
            return Event.REMINDED
    since = row.told_at if row.pending is None else row.pending_since
    return Event.CHANGED if state.digest != last.digest and now - (since or now) >= rules.update else None


def plan(snapshot: Snapshot, receiver: str, rules: Rules) -> list[Say]:
    """Return all that *receiver* is to be told now: what must be heard first, and what failed least before others.

    Past `per_hour` subjects a new incident opens no message of its own: it joins a storm.
    """
    rows = {row.subject: row for row in snapshot.rows if row.receiver == receiver}
    told_of = {number: one for number, one in snapshot.incidents.items() if number not in snapshot.held}
    subjects: dict[str, tuple[Incident, ...]] = {f"incident-{number}": (one,) for number, one in told_of.items()}
    for row in rows.values():
        if row.storm in rows and not rows[row.storm].closed:
            subjects.pop(row.subject, None)
    storms = {name: _members(name, rows, snapshot) for name in rows if name.startswith(STORM)}
    subjects |= {name: members for name, members in storms.items() if members}
    wanted = []
    for name, incidents in subjects.items():
        row = rows.get(name) or Row(receiver, name, incidents[0].incident_id)
        wanted.append(decide(row, Subject(name, incidents), rules, snapshot.now))
    said = _gathered([say for say in wanted if say is not None], rows, snapshot, rules)
    return sorted(said, key=lambda say: (not say.event.is_loud, say.row.attempts, say.row.incident_id or 0))


def _members(name: str, rows: Mapping[str, Row], snapshot: Snapshot) -> tuple[Incident, ...]:
    numbers = sorted(row.incident_id or 0 for row in rows.values() if row.storm == name)
    return tuple(snapshot.incidents[number] for number in numbers if number in snapshot.incidents)


def _gathered(wanted: list[Say], rows: Mapping[str, Row], snapshot: Snapshot, rules: Rules) -> Iterable[Say]:
    """Return *wanted*, in which the new subjects past those of the hour are one storm."""
    hour_ago = snapshot.now - timedelta(hours=1)
    heard = sum(
        (row.loud_at is not None and row.loud_at > hour_ago) or (row.pending is not None and row.pending.event.is_loud)
        for row in rows.values()
    )
    new = [say for say in wanted if say.event is Event.OPENED and say.row.pending is None]
    left = new[max(rules.per_hour - heard, 0) :]
    if not left:
        return wanted
    running = [name for name, row in rows.items() if name.startswith(STORM) and not row.closed]
    name = running[-1] if running else f"{STORM}{left[0].row.incident_id}"
    members = {one.incident_id: one for one in _members(name, rows, snapshot)}
    members |= {one.incident_id: one for say in left for one in say.subject.incidents}
    row = rows.get(name) or Row(left[0].row.receiver, name, left[0].row.incident_id)
    storm = decide(row, Subject(name, tuple(members[number] for number in sorted(members))), rules, snapshot.now)
    others = [say for say in wanted if say not in left and say.subject.name != name]
    return others if storm is None else [*others, storm]
