"""What users did after answers, as observations: each trace once, when the time for it is over.

Feedback comes late, and most traces never have any. A rate over traces whose time is not over would begin too low and
rise by itself. So a trace waits until all that may come has had its time, and then counts as 1 or as 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from monitor.domain.label import Label, LabelSource
from monitor.domain.observation import LogEntry, Series, Source, Subjects, batch_of, micros_of
from monitor.labels.verdict import latest
from monitor.signals.user_feedback import FeedbackSignal

GRACE = timedelta(hours=1)  # in which an event of the last minute may still arrive
COUNTED = frozenset({LabelSource.USER})


@dataclass(frozen=True, slots=True)
class FeedbackRule:
    signals: tuple[FeedbackSignal, ...] = ()  # none: nothing is followed
    window: timedelta = timedelta(hours=24)  # after a trace, in which what its user does counts

    @property
    def version(self) -> str:
        """The name of the window: rates of two windows are not compared."""
        return f"within-{self.window.total_seconds() / 3600:g}h"


@dataclass(frozen=True, slots=True)
class FollowedTrace:
    """A trace that is an observation."""

    trace_id: str
    timestamp: datetime
    policy_model: str
    cohort: str


@dataclass(frozen=True, slots=True)
class Due:
    """The traces of some entries of the log whose time is over."""

    next_sequence: int  # of the entry after them
    traces: Sequence[FollowedTrace]
    more: bool  # others may be due too


class FeedbackStore(Protocol):
    """What is kept. Every method raises `Unavailable` where the store is away."""

    def due(self, wait: timedelta) -> Due | None:
        """Return the next traces that are older than *wait* by the log's time; None where no entry is."""
        ...

    def labels(self, trace_ids: Sequence[str], kinds: Sequence[str]) -> Iterable[Label]:
        """Return all contents of the labels of *kinds* that were said of *trace_ids*."""
        ...

    def save(self, next_sequence: int, entry: LogEntry | None) -> None:
        """Commit what was counted and how far; all or nothing."""
        ...


class FeedbackKeeper:
    """One leader's turn; after any exception the next turn reads what is stored."""

    def __init__(self, store: FeedbackStore, rule: FeedbackRule) -> None:
        self._store = store
        self._rule = rule

    def turn(self) -> bool:
        """Count the traces whose time is over; say whether more may be due at once."""
        if not self._rule.signals:
            return False
        due = self._store.due(self._rule.window + GRACE)
        if due is None:
            return False
        ids = [trace.trace_id for trace in due.traces]
        labels = self._store.labels(ids, sorted({one.kind for one in self._rule.signals})) if ids else ()
        self._store.save(due.next_sequence, feedback_entry(due.traces, labels, self._rule))
        return due.more


def feedback_entry(traces: Sequence[FollowedTrace], labels: Iterable[Label], rule: FeedbackRule) -> LogEntry | None:
    """Return the log's entry of *traces*, each 1 or 0 in each signal; None where there are none.

    What counts stands at the end, was said by the user, and within the window after the trace. A label before its
    trace counts as well: clocks differ.
    """
    if not traces:
        return None
    said: defaultdict[str, list[Label]] = defaultdict(list)
    for label in latest(labels):
        if label.source in COUNTED:
            said[label.trace_id].append(label)
    rows: dict[Series, list[tuple[int, str, float]]] = {}
    for place, trace in enumerate(traces):
        told = [label for label in said[trace.trace_id] if label.timestamp <= trace.timestamp + rule.window]
        for one in rule.signals:
            found = any(label.kind == one.kind and one.counts(label.value) for label in told)
            series = Series(one.name, trace.policy_model, rule.version)
            rows.setdefault(series, []).append((place, trace.cohort, float(found)))
    subjects = Subjects(
        ids=tuple(trace.trace_id for trace in traces), timestamps=micros_of([trace.timestamp for trace in traces])
    )
    return LogEntry(Source.FEEDBACK, subjects, tuple(batch_of(series, rows[series]) for series in sorted(rows)))
