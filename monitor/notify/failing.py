"""What receivers are told of one another: of one that takes nothing the others tell, once, and once it takes again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from monitor.domain.incident import RANK
from monitor.notify.decide import FORGET, Say, Subject
from monitor.notify.notice import Event, Failing, Row, Snapshot, Standing, Told

FAILING = timedelta(minutes=2)  # that a message is tried, where it is not refused for good
RECEIVER = "receiver-"


def failing_of(snapshot: Snapshot, receiver: str) -> Failing | None:
    """Return how *receiver* fails; None where it takes what it is sent, or has not been tried for long."""
    waiting = [
        (row.pending_since, row, row.pending)
        for row in snapshot.rows
        if row.receiver == receiver and row.error is not None and row.pending is not None and row.pending_since
    ]
    if not waiting:
        return None
    since, first, _ = min(waiting, key=lambda one: one[0])
    if snapshot.now - since < FAILING and not any(row.refused for _, row, _ in waiting):
        return None
    severity = max((notice.told.severity for _, _, notice in waiting), key=RANK.__getitem__)
    return Failing(since, first.error or "", len(waiting), severity)


def plan_others(snapshot: Snapshot, receiver: str, others: Collection[str]) -> list[Say]:
    """Return what *receiver* is to be told of the *others* now: who fails, and who takes messages again."""
    rows = {row.subject: row for row in snapshot.rows if row.receiver == receiver}
    wanted = []
    for other in sorted(others):
        subject = f"{RECEIVER}{other}"
        row = rows.get(subject) or Row(receiver, subject, None)
        say = _of_one(row, other, failing_of(snapshot, other), snapshot)
        if say is not None:
            wanted.append(say)
    return wanted


def _of_one(row: Row, other: str, failing: Failing | None, snapshot: Snapshot) -> Say | None:
    last = row.told if row.pending is None else row.pending.told
    subject = Subject(row.subject, (), other, failing)
    if failing is not None and (last is None or last.standing is Standing.OVER):
        if last is None:
            return Say(row, subject, Event.OPENED, Told(Standing.LOUD, failing.severity, "", 1, failing.since))
        again = Told(Standing.LOUD, failing.severity, "", last.page + 1, last.first_at or failing.since)
        return Say(row, subject, Event.RAISED, again)
    if failing is None and last is not None and last.standing is Standing.LOUD:
        over = replace(last, standing=Standing.OVER)
        return Say(row, subject, Event.RESOLVED, over, silent=row.pending is not None)  # what never came needs no end
    if row.pending is None:
        return None
    late = row.pending.told.standing is Standing.OVER and snapshot.now - (row.pending_since or snapshot.now) >= FORGET
    return Say(row, subject, row.pending.event, row.pending.told, again=True, silent=late)
