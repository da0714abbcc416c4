"""The leader's duty of probing: begins the runs that are due, asks one after the other, stores what each came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import structlog
from apscheduler.triggers.cron import CronTrigger

from monitor.domain.score import Reward, TemperatureOf, win_of
from monitor.domain.trace import Message
from monitor.errors import Unavailable
from monitor.probes.again import Again, KeptRuns
from monitor.probes.asking import PAUSES, Flight, Judge, LiveModel, Pauses, judge_of
from monitor.probes.run import (
    LIVE,
    SIGNAL_OF,
    Finished,
    LivePrompt,
    NewRun,
    OpenRun,
    RunState,
    draw,
    finish,
    now,
)
from monitor.probes.suite import Item, Suite
from monitor.signals.refusal import RefusalModel

log = structlog.get_logger(__name__)
Score = Callable[[Sequence[tuple[Sequence[Message], str]]], Sequence[Reward | None]]


class ProbeStore(KeptRuns, Protocol):
    """Runs and their answers. Every method raises `Unavailable` where the store is away."""

    def last_started(self) -> datetime | None:
        """Return when runs were begun last; None where there was none."""
        ...

    def begin(self, runs: Sequence[NewRun]) -> None:
        """Begin *runs*, in one transaction."""
        ...

    def running(self) -> Sequence[OpenRun]:
        """Return the runs that are not over, in the order they were begun."""
        ...

    def prompts(self, run_id: int, count: int) -> Sequence[LivePrompt]:
        """Draw *count* prompts of the active baseline's window for a run; the same ones whenever it is asked."""
        ...

    def finish(self, run_id: int, finished: Finished) -> bool:
        """Store what a run came to, and append its entry to the log, in one transaction; False: it was over already."""
        ...


class ProbeMetrics(Protocol):
    def count_probe_run(self, suite: str, state: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ProbeRules:
    cron: CronTrigger
    items_per_run: int
    concurrency: int
    baseline_outcomes: int = 200  # of which a suite's law is made
    policy_model: str | None = None  # None: as the server calls it
    pauses: Pauses = PAUSES


@dataclass(frozen=True, slots=True)
class WinJudge:
    """Judges a live answer against the baseline's, by the reward models: how sure they are that it is better."""

    responses: Mapping[str, str]  # the baseline's, by item
    score: Score
    temperature: TemperatureOf

    def __call__(self, item: Item, answer: str) -> tuple[float | None, str]:
        try:
            live, before = self.score([(item.messages, answer), (item.messages, self.responses[item.item_id])])
        except Unavailable as reason:
            log.warning("probe_not_scored", reason=str(reason))
            return None, ""
        if live is None or before is None:
            return None, ""
        return win_of(live.margins(before), self.temperature(live.scorer_version)), live.scorer_version


@dataclass(frozen=True, slots=True)
class Wins:
    """What judges live answers; `has_scorer` says whether anything can now."""

    score: Score
    has_scorer: Callable[[], bool]
    temperature: TemperatureOf


def is_due(cron: CronTrigger, last: datetime | None, at: datetime) -> bool:
    """Say whether a fire time lies after *last* and not after *at*; many missed ones are one."""
    if last is None:
        return True
    fires_at = cron.get_next_fire_time(last, last)
    return fires_at is not None and fires_at <= at


class Prober:
    """Each call takes what has come and goes on; it never waits for an answer.

    A run draws by its own number. So a leader that takes over asks a run that was begun again, with the same items, and
    what the one before it still finds out is stored no more.
    """

    def __init__(
        self,
        store: ProbeStore,
        model: LiveModel,
        suites: Mapping[str, Suite],
        *,
        rules: ProbeRules,
        wins: Wins,
        refusals: RefusalModel,
        metrics: ProbeMetrics,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._store, self._model, self._suites = store, model, suites
        self._rules, self._wins, self._metrics, self._clock = rules, wins, metrics, clock
        self._refusals, self._again = refusals, Again(store, refusals, rules.baseline_outcomes)
        self._flight: tuple[OpenRun, Flight] | None = None

    def __call__(self) -> bool:
        """Take one step; say whether there is more to do at once."""
        if self._flight is not None:
            run, flight = self._flight
            if not flight.done:
                return False
            policy_model = self._rules.policy_model or self._model.model or ""
            suite = self._suites.get(run.suite)
            self._end(run, finish(run, suite, flight.answered(), policy_model=policy_model, detail=flight.detail))
            self._flight = None
        waiting = self._store.running()
        if not waiting and is_due(self._rules.cron, self._store.last_started(), self._clock()):
            self._store.begin(self._due())
            waiting = self._store.running()
        return self._start(waiting[0]) if waiting else False

    def _due(self) -> list[NewRun]:
        runs = [NewRun(name, suite.sha256, SIGNAL_OF[suite.kind]) for name, suite in self._suites.items()]
        compares = self._wins.has_scorer() and bool(self._store.prompts(0, 1))
        return [*runs, NewRun(LIVE, "", LIVE)] if compares else runs

    def _start(self, run: OpenRun) -> bool:
        """Send a run's questions; a run that cannot be asked ends at once, and the next one is due."""
        suite = self._suites.get(run.suite)
        if suite is not None and self._again.step(suite):
            return True
        found = self._questions(run)
        if found is None:
            self._end(run, Finished(RunState.DROPPED, detail="its suite was replaced, or nothing is there to ask"))
            return True
        items, judged = found
        flight = Flight(self._model, items, judged, concurrency=self._rules.concurrency, pauses=self._rules.pauses)
        self._flight = run, flight
        return False

    def _questions(self, run: OpenRun) -> tuple[Sequence[Item], Judge] | None:
        """Return the items that a run draws and what judges their answers; None where it cannot be asked any more."""
        count = self._rules.items_per_run
        if run.suite == LIVE:
            prompts = self._store.prompts(run.run_id, count) if self._wins.has_scorer() else ()
            responses = {prompt.item.item_id: prompt.response for prompt in prompts}
            judged = WinJudge(responses, self._wins.score, self._wins.temperature)
            return ([prompt.item for prompt in prompts], judged) if prompts else None
        suite = self._suites.get(run.suite)
        if suite is None or suite.sha256 != run.sha256:
            return None
        return draw(suite, count, seed=str(run.run_id)), judge_of(suite, self._refusals)

    def _end(self, run: OpenRun, finished: Finished) -> None:
        note = self._again.notes.get(run.suite, "") if finished.entry is not None else ""
        told = "; ".join(filter(None, (finished.detail, note)))
        if not self._store.finish(run.run_id, replace(finished, detail=told)):
            return
        if note:
            del self._again.notes[run.suite]
        self._metrics.count_probe_run(run.suite, finished.state)
        say = log.warning if finished.state in {RunState.UNAVAILABLE, RunState.PARTIAL} else log.info
        say("probe_run_ended", run=run.run_id, suite=run.suite, state=finished.state, reason=told)
