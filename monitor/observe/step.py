"""The observing step: repeats marked, cohorts named, responses scored, signals read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from monitor.domain.cohort import CohortRule
from monitor.domain.observation import LogEntry
from monitor.domain.trace import Trace
from monitor.observe.cohorts import CohortNames, KeyWatch, cohort_of
from monitor.observe.embedding import Embedder
from monitor.observe.gather import ObservedTrace, gather
from monitor.observe.repeat import RepeatMemory, mark_repeats
from monitor.observe.scoring import RewardModel, RewardRule, score_traces
from monitor.observe.selection import SelectionRule
from monitor.observe.texts import TextRule
from monitor.signals.set import DEFAULT, SignalSet
from monitor.telemetry.metrics import Stage

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ObserveRules:
    cohorts: CohortRule = CohortRule()
    repeat_window: timedelta = timedelta(hours=1)
    selection: SelectionRule = SelectionRule()
    rewards: RewardRule = RewardRule()
    texts: TextRule = TextRule()
    signals: SignalSet = DEFAULT


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of a batch of traces, and the log's entry of it."""

    traces: tuple[ObservedTrace, ...]
    entry: LogEntry
    counted_keys: Mapping[bytes, datetime]  # repeat keys that were counted in this batch


def nothing_observed() -> Observed:
    """Return what a batch without traces leaves."""
    return Observed((), gather(()), {})


class Observer:
    """Turns good, distinct traces into observations; what it must remember lies behind its ports."""

    def __init__(
        self,
        rules: ObserveRules,
        *,
        names: CohortNames,
        repeats: RepeatMemory,
        reward_model: Callable[[], RewardModel | None] = lambda: None,
        embedder: Embedder | None = None,
        timed: Callable[[Stage, Sequence[str]], AbstractContextManager[None]] = lambda _stage, _ids: nullcontext(),
    ) -> None:
        self._rules = rules
        self._names = names
        self._repeats = repeats
        self._reward_model = reward_model
        self._embedder = embedder
        self._timed = timed
        self.keys = KeyWatch(rules.cohorts.keys)

    def observe(self, traces: Sequence[Trace], latest: Mapping[bytes, datetime] | None = None) -> Observed:
        """Observe *traces*, in their order; raises `Unavailable` where a port is away.

        *latest* are repeat keys that were counted since the memory of them was written.
        """
        self._rules.signals.begin(traces)
        keys = [trace.repeat_keys() for trace in traces]
        asked = {key for own in keys for key in own}
        before = dict(self._repeats.last_counted(asked))
        before |= {key: last for key, last in (latest or {}).items() if key in asked}
        counted = dict(before)
        repeated = mark_repeats(traces, counted, self._rules.repeat_window, keys=keys)
        labels = [cohort_of(self._rules.cohorts, trace.cohort, trace.messages) for trace in traces]
        self.keys.see(traces)
        for unknown in self.keys.due():
            log.warning("cohort_key_never_seen", hint=unknown)
        names = self._names.admit(labels)
        ids = [trace.trace_id for trace in traces]
        with self._timed(Stage.SCORE, ids):
            fresh = [not repeat for repeat in repeated]  # no signal reads how a repeat compares
            scored = score_traces(traces, self._reward_model(), self._rules.rewards, compared=fresh)
        selections = self._rules.selection.select(traces, repeated, [found.reward for found in scored])
        observed = tuple(
            ObservedTrace(trace, names[label], repeat, found.reward, selected, found.opinion)
            for trace, label, repeat, found, selected in zip(traces, labels, repeated, scored, selections, strict=True)
        )
        embedded = None
        if self._embedder is not None:
            with self._timed(Stage.EMBED, ids):
                embedded = self._embedder.embed([None if item.repeated else item.trace.messages for item in observed])
        new_keys = {key: last for key, last in counted.items() if before.get(key) != last}
        with self._timed(Stage.OBSERVE, ids):
            entry = gather(observed, embedded, self._rules.signals)
        return Observed(observed, entry, new_keys)
