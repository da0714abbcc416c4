"""From raw records to a checkpoint's contents."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from monitor.ingest.route import RoutedBatch
from monitor.observe.cohorts import CohortNames
from monitor.observe.embedding import Embedder
from monitor.observe.scoring import RewardModel
from monitor.observe.step import Observer, ObserveRules
from monitor.pipeline.checkpoint import Checkpoint, CheckpointStore
from monitor.telemetry.metrics import Metrics


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
    ) -> None:
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
        """Drop duplicates, mark repeats, score and observe the rest; raises `Unavailable`.

        The checkpoint covers no offsets yet. What *before* holds counts as stored: it is being stored meanwhile.
        """
        with self._turn:
            return self._build(batch, before)

    def _build(self, batch: RoutedBatch, before: Checkpoint | None) -> Checkpoint:
        known = self._store.known_traces([trace.trace_id for trace, _ in batch.traces])
        counted: Mapping[bytes, datetime] = {}
        if before is not None:
            known.update(item.trace.trace_id for item in before.observed.traces)
            counted = before.observed.counted_keys
        fresh = []
        for trace, record in batch.traces:
            if trace.trace_id not in known:
                known.add(trace.trace_id)
                fresh.append((trace, record))
        observed = self._observer.observe([trace for trace, _ in fresh], counted)
        labels = [self._rules.cohorts.name(preference.cohort) for preference, _ in batch.preferences]
        names = self._names.admit(labels)
        return Checkpoint(
            spans={},
            observed=observed,
            positions=[(record.topic, record.partition, record.offset) for _, record in fresh],
            preferences=[
                (preference, names[label]) for (preference, _), label in zip(batch.preferences, labels, strict=True)
            ],
            duplicates=len(batch.traces) - len(fresh),
            dead_letters=Counter(rejected.invalid.reason for rejected in batch.rejected),
            labels=[label for label, _ in batch.labels],
            skipped={reason.value: count for reason, count in batch.skipped.items()},
        )
