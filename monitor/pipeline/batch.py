"""From raw records to a checkpoint's contents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tokenizers import Tokenizer

from monitor.domain.trace import Preference, Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits, count_output_tokens, decode_preference, decode_trace
from monitor.ingest.record import Record, TopicPartition
from monitor.observe.cohorts import CohortNames
from monitor.observe.scoring import RewardModel
from monitor.observe.step import Observer, ObserveRules
from monitor.pipeline.checkpoint import Checkpoint, CheckpointStore, Span
from monitor.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """What a run of records holds, in their order."""

    traces: list[tuple[Trace, Record]] = field(default_factory=list)
    preferences: list[Preference] = field(default_factory=list)
    invalid: list[tuple[Record, InvalidTrace]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BatchRules:
    """How records become observations."""

    preference_topic: str
    limits: DecodeLimits
    observe: ObserveRules
    tokenizer: Tokenizer | None = None


class BatchBuilder:
    """Decodes, scores and observes; asks the store what it has already counted."""

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
        self._observer = Observer(
            rules.observe,
            names=names,
            repeats=store,
            reward_model=reward_model,
            timed=metrics.timed,
        )

    def decode(self, records: Sequence[Record], now: datetime) -> DecodedBatch:
        batch = DecodedBatch()
        for record in records:
            preference = record.topic == self._rules.preference_topic
            parse = decode_preference if preference else decode_trace
            decoded = parse(record.value, self._rules.limits, now)
            if isinstance(decoded, InvalidTrace):
                batch.invalid.append((record, decoded))
            elif isinstance(decoded, Preference):
                batch.preferences.append(decoded)
            else:
                batch.traces.append((count_output_tokens(decoded, self._rules.tokenizer), record))
        return batch

    def build(self, batch: DecodedBatch, spans: dict[TopicPartition, Span]) -> Checkpoint:
        """Drop duplicates, mark repeats, score and observe the rest; raises `Unavailable`."""
        fresh = self._fresh(batch.traces)
        observed = self._observer.observe([trace for trace, _ in fresh])
        labels = [self._rules.observe.cohorts.name(preference.cohort) for preference in batch.preferences]
        names = self._names.admit(labels)
        return Checkpoint(
            spans=spans,
            observed=observed,
            positions=[(record.topic, record.partition, record.offset) for _, record in fresh],
            preferences=[
                (preference, names[label]) for preference, label in zip(batch.preferences, labels, strict=True)
            ],
            duplicates=len(batch.traces) - len(fresh),
            dead_letters=Counter(invalid.reason for _, invalid in batch.invalid),
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
