"""From raw records to a checkpoint's contents."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from monitor.domain.trace import Trace
from monitor.ingest.join import Joined, JoinRules, join, names_of
from monitor.ingest.join_call import Held
from monitor.ingest.outcome import Carries, SkipReason
from monitor.ingest.record import Position
from monitor.ingest.route import Rejected, RoutedBatch
from monitor.observe.cohorts import CohortNames, cohort_of
from monitor.observe.embedding import Embedder
from monitor.observe.scoring import RewardModel
from monitor.observe.step import Observer, ObserveRules
from monitor.pipeline.checkpoint import Checkpoint, CheckpointStore, Waiting
from monitor.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)


class BatchBuilder:
    """Scores and observes what was decoded; asks the store what it has already counted."""

    def __init__(
        self,
        rules: ObserveRules,
        store: CheckpointStore,
        names: CohortNames,
        *,
        reward_model: Callable[[], RewardModel | None],
        embedder: Embedder | None = None,
        metrics: Metrics,
        joining: JoinRules,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._joining = joining
        self._clock = clock
        self._rules = rules
        self._store = store
        self._names = names
        self._observer = Observer(
            rules,
            names=names,
            repeats=store,
            reward_model=reward_model,
            embedder=embedder,
            timed=metrics.timed,
        )
        self._turn = threading.Lock()

    def build(self, batch: RoutedBatch, before: Checkpoint | None = None) -> Checkpoint:
        """Join parts, drop duplicates, mark repeats, score and observe the rest; raises `Unavailable`.

        The checkpoint covers no offsets yet. What *before* holds counts as stored: it is being stored meanwhile.
        No part of *batch* may be of a request that *before* has parts of: what waits of it has no row yet.
        """
        with self._turn:
            if not batch.parts:
                known = self._store.known_traces(_ids(batch)) | _stored_by(before)
                return self._build(batch, Joined(), known, before)
            held = self._store.waiting_parts(sorted({part.trace for part, _ in batch.parts}))
            held += [Held(part, (record.topic, record.partition, record.offset)) for part, record in batch.parts]
            known = self._store.known_traces([*_ids(batch), *names_of(held)]) | _stored_by(before)
            return self._build(batch, join(held, self._joining, known=known, now=self._clock()), known, before)

    def build_waiting(self, waiting: Waiting) -> Checkpoint | None:
        """Join what waits alone; None where all of it goes on waiting. Raises `Unavailable`."""
        with self._turn:
            known = self._store.known_traces(sorted(names_of(waiting.parts)))
            joined = join(waiting.parts, self._joining, known=known, now=self._clock(), ended=waiting.ended)
            return self._build(RoutedBatch(), joined, known) if joined.done else None

    def _build(
        self, batch: RoutedBatch, joined: Joined, known: set[str], before: Checkpoint | None = None
    ) -> Checkpoint:
        counted = {} if before is None else before.observed.counted_keys
        fresh: list[tuple[Trace, Position]] = []
        traces = [(trace, (record.topic, record.partition, record.offset)) for trace, record in batch.traces]
        for trace, position in (*traces, *joined.traces):
            if trace.trace_id not in known:
                known.add(trace.trace_id)
                fresh.append((trace, position))
        observed = self._observer.observe([trace for trace, _ in fresh], counted)
        rule = self._rules.cohorts
        labels = [cohort_of(rule, preference.cohort, preference.messages) for preference, _ in batch.preferences]
        names = self._names.admit(labels)
        rejected, skipped = _sort_out(joined, batch)
        return Checkpoint(
            spans={},
            observed=replace(observed, traces=self._rules.texts.stored(observed.traces)),
            positions=[position for _, position in fresh],
            preferences=[
                (preference, names[label]) for (preference, _), label in zip(batch.preferences, labels, strict=True)
            ],
            duplicates=len(traces) + len(joined.traces) - len(fresh) + joined.duplicates,
            dead_letters=Counter(letter.invalid.reason for letter in (*batch.rejected, *rejected)),
            labels=[label for label, _ in batch.labels],
            skipped={reason.value: count for reason, count in (batch.skipped + skipped).items()},
            waits=joined.waits,
            done=joined.done,
            aliases=joined.aliases,
            rejected=rejected,
            incomplete=joined.incomplete,
        )


def _stored_by(before: Checkpoint | None) -> set[str]:
    return set() if before is None else {item.trace.trace_id for item in before.observed.traces}


def _ids(batch: RoutedBatch) -> list[str]:
    return [trace.trace_id for trace, _ in batch.traces]


def _sort_out(joined: Joined, batch: RoutedBatch) -> tuple[list[Rejected], Counter[SkipReason]]:
    """Return the records of this batch whose calls are unsound, and what is skipped.

    Where a call's span came earlier, its record is gone: the call is skipped, and the log says why.
    """
    skipped = Counter(joined.skipped)
    rejected: dict[int, Rejected] = {}
    letters = {id(letter.record) for letter in batch.rejected}
    records = {(record.topic, record.partition, record.offset): record for _, record in batch.parts if joined.invalid}
    for held, invalid in joined.invalid:
        record = records.get(held.position) if held.fragment_id is None else None
        if record is None:
            skipped[SkipReason.INVALID_CALL] += 1
            log.warning("call_skipped", trace_id=held.part.call_id, reason=invalid.reason, detail=invalid.detail)
        elif id(record) not in letters:
            rejected.setdefault(id(record), Rejected(record, invalid, Carries.TRACES))
    return list(rejected.values()), skipped
