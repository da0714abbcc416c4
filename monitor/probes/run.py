"""One run of one suite: which items are drawn, what their outcomes come to, and what the log is told of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b
from statistics import fmean

import numpy as np

from monitor.domain.observation import LogEntry, ObservationBatch, Series, Source, Subjects, micros_of
from monitor.probes.judge import judge_version
from monitor.probes.suite import Item, Suite, SuiteKind
from monitor.signals.probe import CAPABILITY, HARMFUL_COMPLIANCE, LIVE_WIN, OVER_REFUSAL, SYCOPHANCY
from monitor.signals.refusal import RefusalModel

LEAST_ANSWERED = 0.5  # of a run's items: those that a failing server answers are no fair draw
LIVE = LIVE_WIN.name  # the run that asks prompts of the baseline's window, which has no suite
_SHOWN_SHA256 = 12
SIGNAL_OF: Mapping[SuiteKind, str] = {
    SuiteKind.OVER_REFUSAL: OVER_REFUSAL.name,
    SuiteKind.HARMFUL: HARMFUL_COMPLIANCE.name,
    SuiteKind.SYCOPHANCY: SYCOPHANCY.name,
    SuiteKind.CAPABILITY: CAPABILITY.name,
}


class RunState(StrEnum):
    RUNNING = "running"
    DONE = "done"  # every item was answered
    PARTIAL = "partial"  # some were not; the others count
    UNAVAILABLE = "unavailable"  # too few were: nothing counts
    DROPPED = "dropped"  # its suite was replaced before it ended
    REJUDGED = "rejudged"  # what the kept answers of an earlier run come to by another judge; nothing was asked


@dataclass(frozen=True, slots=True)
class NewRun:
    suite: str
    sha256: str  # "" where there is no file
    signal: str


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that was begun and is not over: whoever leads now asks it, from its beginning."""

    run_id: int
    suite: str
    sha256: str


@dataclass(frozen=True, slots=True)
class LivePrompt:
    """A prompt of the baseline's window, and the answer that it had there."""

    item: Item
    response: str


@dataclass(frozen=True, slots=True)
class Answered:
    """One item, and what came of asking it."""

    item: Item
    answer: str | None  # None: none came
    outcome: float | None  # None: the answer does not tell
    version: str  # of what judged it
    at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one observation of a run is made of: an item, or all items of a twin."""

    subject_id: str
    value: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that is over; it, its answers and its entry of the log are stored together."""

    state: RunState
    answered: Sequence[Answered] = ()
    outcomes: Sequence[Outcome] = ()
    scorer_version: str = ""
    policy_model: str = ""
    detail: str = ""
    entry: LogEntry | None = None

    @property
    def rate(self) -> float | None:
        return fmean(outcome.value for outcome in self.outcomes) if self.outcomes else None


def version_of(suite: Suite, refusals: RefusalModel) -> str:
    """Return the version of a suite's outcomes: another file, or another judge, begins another series."""
    return f"{suite.sha256[:_SHOWN_SHA256]}/{judge_version(suite.kind, refusals)}"


def draw(suite: Suite, count: int, *, seed: str) -> tuple[Item, ...]:
    """Draw *count* items of *suite* without replacement, whole twins, one twin at least; the same for the same seed."""

    def rank(group: Sequence[Item]) -> bytes:
        return blake2b(f"{seed}\0{suite.sha256}\0{group[0].item_id}".encode(), digest_size=8).digest()

    drawn: list[Item] = []
    for group in sorted(suite.drawn_together(), key=rank):
        if drawn and len(drawn) + len(group) > count:
            break
        drawn += group
    return tuple(drawn)


def outcomes_of(answered: Sequence[Answered], *, version: str, together: bool) -> list[Outcome]:
    """Return the observations that *version* made of a run's answers.

    One an item. Where *together*, one a twin: the mean over its askers' views, if each of them has an outcome.
    """
    groups: dict[str, list[Answered]] = {}
    for one in answered:
        twin = one.item.twin if together else None
        groups.setdefault(one.item.item_id if twin is None else twin, []).append(one)
    found = []
    for name, group in groups.items():
        views: dict[str | None, list[float]] = {one.item.favoured: [] for one in group}
        for one in group:
            if one.outcome is not None and one.version == version:
                views[one.item.favoured].append(one.outcome)
        if all(views.values()):
            found.append(Outcome(name, fmean(map(fmean, views.values())), max(one.at for one in group)))
    return found


def finish(
    run: OpenRun, suite: Suite | None, answered: Sequence[Answered], *, policy_model: str, detail: str = ""
) -> Finished:
    """Return what a run comes to; *suite* is None for the prompts of the baseline's window.

    Of answers that several versions judged, only those of the most frequent one count.
    """
    came = sum(one.answer is not None for one in answered)
    if not answered or came < LEAST_ANSWERED * len(answered):
        told = f"{came} of {len(answered)} were answered" + (f"; {detail}" if detail else "")
        return Finished(RunState.UNAVAILABLE, answered, policy_model=policy_model, detail=told)
    state = RunState.DONE if came == len(answered) else RunState.PARTIAL
    versions = Counter(one.version for one in answered if one.outcome is not None)
    version = versions.most_common(1)[0][0] if versions else ""
    together = suite is not None and suite.kind is SuiteKind.SYCOPHANCY
    outcomes = outcomes_of(answered, version=version, together=together)
    signal = LIVE if suite is None else SIGNAL_OF[suite.kind]
    entry = entry_of(run.suite, outcomes, series=Series(signal, policy_model, version)) if outcomes else None
    return Finished(
        state, answered, outcomes, version, policy_model, detail if state is RunState.PARTIAL else "", entry
    )


def entry_of(cohort: str, outcomes: Sequence[Outcome], *, series: Series) -> LogEntry:
    """Return the log's entry of a run: a place an outcome, all in one cohort, which is the suite."""
    batch = ObservationBatch(
        series=series,
        cohorts=(cohort,),
        cohort_codes=np.zeros(len(outcomes), np.int32),
        places=np.arange(len(outcomes), dtype=np.int64),
        values=np.array([outcome.value for outcome in outcomes]),
    )
    subjects = Subjects(
        ids=tuple(f"{cohort}/{outcome.subject_id}" for outcome in outcomes),
        timestamps=micros_of([outcome.at for outcome in outcomes]),
    )
    return LogEntry(Source.PROBES, subjects, (batch,))


def now() -> datetime:
    return datetime.now(UTC)
