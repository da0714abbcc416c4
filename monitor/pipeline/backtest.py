"""The daemon's drift pipeline over traces in order, without Kafka or a server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

import numpy as np

from monitor.domain.alarm import Alarm
from monitor.domain.cohort import CohortRule
from monitor.domain.score import Reward
from monitor.domain.stream import StreamKey
from monitor.domain.trace import Trace
from monitor.drift.baseline import Baseline, NullRule, build_baseline
from monitor.drift.diagnosis import describe
from monitor.drift.fold import Decision, Fold, in_fold_order
from monitor.drift.log import Excerpt, ObservationBatch, TraceRef, excerpt_of, windows_of
from monitor.errors import InvalidInput
from monitor.pipeline.cohorts import InMemoryCohortNames
from monitor.pipeline.observation import ScoredTrace, StreamBatch, stream_batches
from monitor.pipeline.repeat import forget_before, mark_repeats

BLOCK = 1000
MAX_REMEMBERED = 1_000_000  # repeat keys held before those past the window are dropped


@dataclass(frozen=True, slots=True)
class BacktestPlan:
    baseline_traces: int
    average_run_length: float = 10_000.0
    cohorts: CohortRule = CohortRule()
    max_cohorts: int = 50
    repeat_window: timedelta = timedelta(hours=1)
    null_rule: NullRule = NullRule()


@dataclass(frozen=True, slots=True)
class BacktestResult:
    traces: int
    repeats: int
    baseline: Baseline
    alarms: tuple[Alarm, ...]  # in fold order


@dataclass(slots=True)
class InMemoryLog:
    """The log of observations as `drift.diagnosis.ObservationLog` wants it."""

    batches: list[ObservationBatch] = field(default_factory=list)
    traces: list[tuple[str, datetime]] = field(default_factory=list)

    def append(self, scored: Sequence[ScoredTrace]) -> None:
        first = len(self.traces)
        latest = max(item.trace.timestamp for item in scored)
        self.traces += [(item.trace.trace_id, item.trace.timestamp) for item in scored]
        self.batches += [_placed(batch, first, latest) for batch in stream_batches(scored)]

    def excerpt(self, stream: StreamKey, start: int, stop: int) -> Excerpt:
        return excerpt_of(self.batches, stream, start, stop)

    def locate(self, indices: Sequence[int]) -> list[TraceRef]:
        return [TraceRef(index, *self.traces[index]) for index in indices]


def backtest(
    traces: Iterable[Trace], plan: BacktestPlan, rewards: Iterable[Reward | None] | None = None
) -> BacktestResult:
    """Freeze the first `baseline_traces` traces and watch the rest.

    *rewards*, where given, stand one per trace in the same order. Raises `InvalidInput`
    where there are no more traces than the baseline takes.
    """
    log, repeats = _observe_all(traces, plan, rewards)
    if len(log.traces) <= plan.baseline_traces:
        raise InvalidInput(
            f"--baseline {plan.baseline_traces}: the files hold {len(log.traces)} good traces; "
            "wanted a baseline that leaves some to watch"
        )
    windows = windows_of(log.batches, 0, plan.baseline_traces)
    baseline = build_baseline(windows, plan.null_rule, first_index=0, stop_index=plan.baseline_traces)
    fold = Fold(baseline, average_run_length=plan.average_run_length)
    decisions: list[Decision] = []
    for batch in log.batches:
        decisions += fold.add(batch)
    alarms = tuple(describe(decision, baseline, log) for decision in in_fold_order(decisions))
    return BacktestResult(traces=len(log.traces), repeats=repeats, baseline=baseline, alarms=alarms)


def _observe_all(
    traces: Iterable[Trace], plan: BacktestPlan, rewards: Iterable[Reward | None] | None
) -> tuple[InMemoryLog, int]:
    log, repeats = InMemoryLog(), 0
    names = InMemoryCohortNames(plan.max_cohorts)
    last_counted: dict[bytes, datetime] = {}
    latest = datetime.min.replace(tzinfo=UTC)
    scores = iter(rewards) if rewards is not None else None
    source = iter(traces)
    while block := list(islice(source, BLOCK)):
        repeated = mark_repeats(block, last_counted, plan.repeat_window)
        repeats += sum(repeated)
        latest = max(latest, *(trace.timestamp for trace in block))
        if len(last_counted) > MAX_REMEMBERED:
            forget_before(last_counted, latest - 2 * plan.repeat_window)
        cohorts = names.admit([plan.cohorts.name(trace.cohort) for trace in block])
        log.append(
            [
                ScoredTrace(trace, cohorts[plan.cohorts.name(trace.cohort)], repeat, next(scores) if scores else None)
                for trace, repeat in zip(block, repeated, strict=True)
            ]
        )
    return log, repeats


def _placed(batch: StreamBatch, first: int, latest: datetime) -> ObservationBatch:
    return ObservationBatch(
        signal=batch.signal,
        policy_model=batch.policy_model,
        scorer_version=batch.scorer_version,
        cohorts=batch.cohorts,
        cohort_codes=batch.cohort_codes,
        indices=batch.ordinals.astype(np.int64) + first,
        values=batch.values,
        timestamp=latest,
    )
