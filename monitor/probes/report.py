"""What is told of the suites: what each holds, its last run, and its rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from monitor.probes.rate import Rate, rate_of
from monitor.probes.run import LIVE, SIGNAL_OF, RunState
from monitor.probes.suite import Suite

WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class PastRun:
    run_id: int
    suite: str
    suite_sha256: str
    signal: str
    scorer_version: str  # of its outcomes; "" where there are none
    policy_model: str
    state: RunState
    started_at: datetime
    ended_at: datetime | None  # None: it is running
    asked: int  # items that were drawn
    judged: int  # of them
    outcomes: int  # observations it gave
    rate: float | None
    detail: str  # why not all of it was answered, or with what its series began


@dataclass(frozen=True, slots=True)
class SuiteReport:
    suite: str
    signal: str
    items: int | None  # None for `live_win`, which draws from the baseline's window
    sha256: str
    last_run: PastRun | None
    last_rate: Rate | None
    week_rate: Rate | None  # of the last seven days, by the version and of the policy model of the latest rate


class PastRuns(Protocol):
    def past_runs(self, suites: Sequence[str], *, last: timedelta) -> Sequence[PastRun]:
        """Return the runs of *suites* that began within *last*, and the latest of each, in the order they began.

        One that was judged again stands there once for each judge.
        """
        ...


class ProbeReports:
    """What the console, the API and the metrics show; may be asked from many threads."""

    def __init__(self, store: PastRuns, suites: Callable[[], Mapping[str, Suite]]) -> None:
        self._store, self._suites = store, suites

    def reports(self) -> list[SuiteReport]:
        """Return a report for each suite, and for `live_win` where it ever ran; none where nothing is to be asked."""
        suites = self._suites()
        runs = self._store.past_runs([*suites, LIVE], last=WEEK)
        told = [
            _report(name, SIGNAL_OF[suite.kind], [run for run in runs if run.suite == name], suite)
            for name, suite in suites.items()
        ]
        live = [run for run in runs if run.suite == LIVE]
        return [*told, _report(LIVE, LIVE, live, None)] if live else told


def _report(name: str, signal: str, runs: Sequence[PastRun], suite: Suite | None) -> SuiteReport:
    asked = [run for run in runs if run.state is not RunState.REJUDGED]
    last = asked[-1] if asked else None
    told = [run for run in runs if run.rate is not None]
    same = [
        run
        for run in told
        if (run.scorer_version, run.policy_model) == (told[-1].scorer_version, told[-1].policy_model)
    ]
    return SuiteReport(
        suite=name,
        signal=signal,
        items=None if suite is None else len(suite.items),
        sha256="" if suite is None else suite.sha256,
        last_run=last,
        last_rate=_pooled(told[-1:]),
        week_rate=_pooled(same),
    )


def _pooled(runs: Sequence[PastRun]) -> Rate | None:
    return rate_of(sum((run.rate or 0.0) * run.outcomes for run in runs), sum(run.outcomes for run in runs))
