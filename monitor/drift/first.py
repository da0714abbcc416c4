"""The laws of signals that were switched on after the baseline and cannot be read again: of their own first traces."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from monitor.drift.baseline import LEAST_JUDGED, Baseline, SignalBaseline
from monitor.drift.freeze import NullRule, build_signal_baseline, read_prompts
from monitor.drift.late import days_of
from monitor.drift.log import ObservationLog, windows_of
from monitor.drift.stored import ActiveBaseline

Key = tuple[str, str]  # signal and version
LOOK_SECONDS = 10.0
RARE_SECONDS = 60.0  # between two looks at a signal that most traces have no value of
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FirstTraces:
    """The traces since a version came, whole entries, up to where they are enough; else all there are."""

    first_place: int
    stop_place: int
    traces: int
    observations: int  # of the version


class FirstStore(ObservationLog, Protocol):
    """What is asked of the log. Every method raises `Unavailable` where the store is away."""

    def first_traces(self, key: Key, since: int, *, traces: int, observations: int) -> FirstTraces | None:
        """Return the first *traces* since *key* came, at or after the place *since*; None where no entry holds it.

        They are more where those hold fewer than *observations*, and fewer where there are no more yet.
        """
        ...


@dataclass(slots=True)
class FirstLaws:
    """Makes a law of the first *traces* with a signal of *signals*, once as many are there.

    It hangs on the log alone: whoever looks later finds the same. What made a law is not bet on. What had moved before
    the signal was switched on is its normal: nobody can know better.
    """

    store: FirstStore
    rule: NullRule
    signals: frozenset[str]
    traces: int
    clock: Callable[[], float] = time.monotonic
    reasons: dict[Key, str] = field(default_factory=dict)  # why a version has no law though its traces have come
    _wanted: frozenset[Key] = frozenset()
    _rare: dict[Key, float] = field(default_factory=dict)  # when each was found to be
    _at: float = -LOOK_SECONDS

    def look(self, active: ActiveBaseline, latest: Collection[Key]) -> None:
        """See which of the *latest* versions lack a law."""
        known = {law.key for law in active.baseline.signals}
        self._wanted = frozenset(
            key for key in latest if key[0] in self.signals and key not in known and self.rule.signals.holds(*key)
        )
        self.reasons = {key: reason for key, reason in self.reasons.items() if key in self._wanted}

    def laws(self, active: ActiveBaseline) -> list[SignalBaseline]:
        """Return the laws that are new; the log is asked from time to time."""
        if not self._wanted or self.clock() < self._at + LOOK_SECONDS:
            return []
        now = self._at = self.clock()
        due = [key for key in sorted(self._wanted) if now >= self._rare.get(key, -RARE_SECONDS) + RARE_SECONDS]
        return [law for key in due for law in self._law(key, active.baseline)]

    def _law(self, key: Key, baseline: Baseline) -> Iterator[SignalBaseline]:
        since = baseline.stop_place
        span = self.store.first_traces(key, since, traces=self.traces, observations=LEAST_JUDGED)
        if span is None or span.traces < self.traces:
            return
        if span.observations < LEAST_JUDGED:
            few = f"of its first {span.traces} traces {span.observations} have a value, and a law takes {LEAST_JUDGED}"
            self.reasons[key], self._rare[key] = few, self.clock()
            return
        prompts = None
        if baseline.prompts is not None:
            prompts = read_prompts(self.store.subjects(span.first_place, span.stop_place), baseline.prompts)
        batches = self.store.window(span.first_place, span.stop_place, {key[0]})
        own = (batch for batch in batches if batch.series.scorer_version == key[1])
        for window in windows_of(own, {key[0]}):
            law = build_signal_baseline(window, self.rule, prompts)
            if law is not None and law.strata:
                told = {"signal": key[0], "version": key[1], "traces": span.traces, "observations": span.observations}
                log.info("law_of_first_traces", **told)
                yield replace(law, since=span.stop_place, days=days_of(self.store, window.places))
