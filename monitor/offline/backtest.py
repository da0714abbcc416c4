"""The daemon's drift pipeline over traces in order, without Kafka or a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from monitor.domain.alarm import Alarm, Recovery
from monitor.domain.incident import IncidentFacts
from monitor.domain.trace import Trace
from monitor.drift.baseline import Baseline
from monitor.drift.budget import Budget
from monitor.drift.controller import freeze_window
from monitor.drift.diagnosis import describe
from monitor.drift.fold import Fold, FoldRules, in_fold_order
from monitor.drift.freeze import NullRule
from monitor.drift.stream import Decision
from monitor.errors import InvalidInput
from monitor.observe.cohorts import InMemoryCohortNames
from monitor.observe.embedding import Embedder
from monitor.observe.repeat import InMemoryRepeats
from monitor.observe.scoring import RewardModel
from monitor.observe.step import Observer, ObserveRules
from monitor.offline.incident import incidents_of
from monitor.offline.log import InMemoryLog

BLOCK = 1000


@dataclass(frozen=True, slots=True)
class BacktestPlan:
    baseline_traces: int
    observe: ObserveRules = ObserveRules()
    fold: FoldRules = FoldRules(Budget(average_run_length=10_000.0))
    null_rule: NullRule = NullRule()
    max_cohorts: int = 50


@dataclass(frozen=True, slots=True)
class BacktestResult:
    traces: int
    repeats: int
    baseline: Baseline
    alarms: tuple[Alarm, ...]  # in fold order
    incidents: tuple[IncidentFacts, ...] = ()  # that they make up, the first told first


def backtest(
    traces: Iterable[Trace],
    plan: BacktestPlan,
    reward_model: Callable[[], RewardModel | None] = lambda: None,
    embedder: Embedder | None = None,
) -> BacktestResult:
    """Freeze the first `baseline_traces` traces and watch the rest.

    Raises `InvalidInput` where there are no more traces than the baseline takes.
    """
    log, repeats = _observe_all(traces, plan, reward_model, embedder)
    if log.end.next_place <= plan.baseline_traces:
        raise InvalidInput(
            f"--baseline {plan.baseline_traces}: the files hold {log.end.next_place} good traces: "
            "take fewer, so that some are left to watch"
        )
    baseline = freeze_window(log, plan.null_rule, first_place=0, stop_place=plan.baseline_traces)
    fold = Fold(baseline, plan.fold)
    outcomes = [outcome for entry in log.records for outcome in fold.add(entry)]
    decisions = in_fold_order(outcome for outcome in outcomes if isinstance(outcome, Decision))
    alarms = tuple(describe(decision, baseline, log) for decision in decisions)
    recoveries = [outcome for outcome in outcomes if isinstance(outcome, Recovery)]
    return BacktestResult(
        traces=log.end.next_place,
        repeats=repeats,
        baseline=baseline,
        alarms=alarms,
        incidents=incidents_of(alarms, recoveries, came=log.newcomers()),
    )


def _observe_all(
    traces: Iterable[Trace],
    plan: BacktestPlan,
    reward_model: Callable[[], RewardModel | None],
    embedder: Embedder | None,
) -> tuple[InMemoryLog, int]:
    log, repeats = InMemoryLog(), 0
    memory = InMemoryRepeats(plan.observe.repeat_window)
    names = InMemoryCohortNames(plan.max_cohorts)
    observer = Observer(plan.observe, names=names, repeats=memory, reward_model=reward_model, embedder=embedder)
    source = iter(traces)
    while block := list(islice(source, BLOCK)):
        observed = observer.observe(block)
        memory.remember(observed.counted_keys)
        repeats += sum(item.repeated for item in observed.traces)
        log.append(observed.entry)
    return log, repeats
