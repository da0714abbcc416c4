"""From raw records to a checkpoint's contents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from monitor.domain.cohort import CohortRule
from monitor.domain.score import Reward
from monitor.domain.trace import Message, Trace
from monitor.ingest.record import Record, TopicPartition
from monitor.ingest.route import RoutedBatch
from monitor.pipeline.checkpoint import Checkpoint, CheckpointStore, Span
from monitor.pipeline.cohorts import CohortNames
from monitor.pipeline.observation import ScoredTrace, stream_batches
from monitor.pipeline.repeat import mark_repeats
from monitor.telemetry.metrics import Metrics, Stage


class RewardModel(Protocol):
    """Scores responses; one answer per row, None where a row cannot be scored."""

    def score(self, rows: Sequence[tuple[Sequence[Message], str]]) -> list[Reward | None]: ...


@dataclass(frozen=True, slots=True)
class BatchRules:
    """How traces become observations."""

    cohorts: CohortRule
    repeat_window: timedelta


class BatchBuilder:
    """Scores and observes what was decoded; asks the store what it has already counted."""

    def __init__(
        self,
        rules: BatchRules,
        store: CheckpointStore,
        names: CohortNames,
        *,
        reward_model: Callable[[], RewardModel | None],
        metrics: Metrics,
    ) -> None:
        self._rules = rules
        self._store = store
        self._names = names
        self._reward_model = reward_model
        self._metrics = metrics

    def build(self, batch: RoutedBatch, spans: dict[TopicPartition, Span]) -> Checkpoint:
        """Drop duplicates, mark repeats, score and observe the rest; raises `Unavailable`."""
        fresh = self._fresh(batch.traces)
        traces = [trace for trace, _ in fresh]
        keys = [trace.repeat_keys() for trace in traces]
        before = self._store.last_counted({key for own in keys for key in own})
        counted = dict(before)
        repeated = mark_repeats(traces, counted, self._rules.repeat_window, keys=keys)
        labels = [self._rules.cohorts.name(trace.cohort) for trace in traces]
        preference_labels = [self._rules.cohorts.name(preference.cohort) for preference, _ in batch.preferences]
        names = self._names.admit([*labels, *preference_labels])
        with self._metrics.timed(Stage.SCORE):
            rewards = self._score(traces)
        scored = [
            ScoredTrace(trace, names[label], repeat, reward)
            for trace, label, repeat, reward in zip(traces, labels, repeated, rewards, strict=True)
        ]
        with self._metrics.timed(Stage.OBSERVE):
            streams = stream_batches(scored)
        return Checkpoint(
            spans=spans,
            traces=scored,
            positions=[(record.topic, record.partition, record.offset) for _, record in fresh],
            streams=streams,
            preferences=[
                (preference, names[label])
                for (preference, _), label in zip(batch.preferences, preference_labels, strict=True)
            ],
            counted_keys={key: last for key, last in counted.items() if before.get(key) != last},
            duplicates=len(batch.traces) - len(fresh),
            dead_letters=Counter(rejected.invalid.reason for rejected in batch.rejected),
        )

    def _fresh(self, traces: list[tuple[Trace, Record]]) -> list[tuple[Trace, Record]]:
        """Keep the first trace of each id that is not stored yet."""
        known = self._store.known_traces([trace.trace_id for trace, _ in traces])
        fresh = []
        for trace, record in traces:
            if trace.trace_id not in known:
                known.add(trace.trace_id)
                fresh.append((trace, record))
        return fresh

    def _score(self, traces: Sequence[Trace]) -> list[Reward | None]:
        model = self._reward_model()
        rewards: list[Reward | None] = [None] * len(traces)
        if model is None:
            return rewards
        answered = [number for number, trace in enumerate(traces) if trace.response is not None]
        rows = [(traces[number].messages, traces[number].response or "") for number in answered]
        for number, reward in zip(answered, model.score(rows), strict=True):
            rewards[number] = reward
        return rewards
