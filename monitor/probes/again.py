"""A new judge of a suite: it judges the kept answers of earlier runs again, so that its series has a law at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import structlog

from monitor.probes.judge import counts_refusals, judge_all
from monitor.probes.run import Answered, Finished, OpenRun, finish, version_of
from monitor.probes.suite import Suite
from monitor.signals.refusal import RefusalModel, pinned

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    item_id: str
    answer: str | None  # None: none came, or its text is gone
    at: datetime


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run of the window, as another judge left it."""

    run_id: int
    policy_model: str
    answers: Sequence[KeptAnswer]


class KeptRuns(Protocol):
    """Runs that are over. Every method raises `Unavailable` where the store is away."""

    def judged_by(self, suite: str, version: str) -> bool:
        """Say whether any run of *suite* has outcomes of *version*."""
        ...

    def judged_otherwise(self, suite: str, sha256: str) -> Sequence[int]:
        """Return the runs of *suite*, as its file is now, that the log holds since the baseline's window began."""
        ...

    def kept_run(self, run_id: int) -> KeptRun: ...

    def judge_again(self, version: str, runs: Sequence[tuple[int, Finished]]) -> None:
        """Store what *runs* come to and append their entries, in one transaction."""
        ...


@dataclass(slots=True)
class _Reading:
    waiting: list[int]
    runs: int
    found: list[tuple[int, Finished]] = field(default_factory=list)
    outcomes: int = 0


@dataclass(slots=True)
class Again:
    """Judges a run a call; nothing is stored before all are. A leader that takes over begins anew."""

    store: KeptRuns
    refusals: RefusalModel
    least_outcomes: int  # from which a law is made
    _settled: set[tuple[str, str]] = field(default_factory=set)
    _reading: dict[tuple[str, str], _Reading] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)  # by suite: with what its series began, for its next run

    def step(self, suite: Suite) -> bool:
        """Judge one earlier run of *suite* again where its series is new; False where nothing is left to judge."""
        reader = pinned(self.refusals)
        version = version_of(suite, reader)
        key = suite.name, version
        if key in self._settled or not counts_refusals(suite.kind):
            return False
        reading = self._reading.get(key)
        if reading is None:
            ids = [] if self.store.judged_by(*key) else list(self.store.judged_otherwise(suite.name, suite.sha256))
            if not ids:
                self._settled.add(key)
                return False
            reading = self._reading[key] = _Reading(ids, len(ids))
        if reading.waiting and reading.outcomes < self.least_outcomes:
            self._take(suite, reader, reading)
            return True
        self._end(suite, version, reading)
        return False

    def _take(self, suite: Suite, reader: RefusalModel, reading: _Reading) -> None:
        run = self.store.kept_run(reading.waiting.pop(0))
        items, version = suite.by_id(), version_of(suite, reader)
        kept = [one for one in run.answers if one.item_id in items]
        texts = [(suite, items[one.item_id], one.answer or "") for one in kept]
        answered = [
            Answered(items[one.item_id], one.answer, None if one.answer is None else outcome, version, one.at)
            for one, outcome in zip(kept, judge_all(texts, reader), strict=True)
        ]
        ended = finish(OpenRun(run.run_id, suite.name, suite.sha256), suite, answered, policy_model=run.policy_model)
        if ended.entry is not None:
            reading.found.append((run.run_id, ended))
            reading.outcomes += len(ended.outcomes)

    def _end(self, suite: Suite, version: str, reading: _Reading) -> None:
        self.store.judge_again(version, reading.found)
        self._settled.add((suite.name, version))
        del self._reading[suite.name, version]
        if reading.found:
            note = f"a new judge: {reading.outcomes} answers of {len(reading.found)} earlier runs were judged again"
            log.info("probe_series_judged_again", suite=suite.name, version=version, outcomes=reading.outcomes)
        else:
            note = f"a new judge: its series begins anew, since no text of {reading.runs} earlier runs is kept"
            log.warning("probe_series_begins_anew", suite=suite.name, version=version, runs=reading.runs)
        self.notes[suite.name] = note
