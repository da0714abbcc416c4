"""The daemon's drift pipeline over traces in order, without Kafka or a server."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from monitor.domain.alarm import Alarm, Recovery
from monitor.domain.incident import IncidentFacts
from monitor.domain.label import Label
from monitor.domain.observation import LogEntry
from monitor.domain.trace import Trace
from monitor.drift.baseline import Baseline
from monitor.drift.budget import Budget
from monitor.drift.controller import freeze_window
from monitor.drift.diagnosis import describe
from monitor.drift.fold import Fold, FoldRules, in_fold_order
from monitor.drift.freeze import NullRule
from monitor.drift.late import LateLaws
from monitor.drift.stream import Decision
from monitor.errors import InvalidInput
from monitor.labels.keeper import BlockKeeper
from monitor.observe.cohorts import InMemoryCohortNames
from monitor.observe.embedding import Embedder
from monitor.observe.repeat import InMemoryRepeats
from monitor.observe.scoring import RewardModel
from monitor.observe.step import Observer, ObserveRules
from monitor.offline.blocks import InMemoryBlocks
from monitor.offline.estimate import LabelPlan, WholePeriod, estimated, rule_of, whole_period
from monitor.offline.incident import incidents_of
from monitor.offline.log import InMemoryLog

BLOCK = 1000


@dataclass(frozen=True, slots=True)
class BacktestPlan:
    baseline_traces: int  # 0: nothing is watched, and labels give estimates alone
    observe: ObserveRules = ObserveRules()
    fold: FoldRules = FoldRules(Budget(average_run_length=10_000.0))
    null_rule: NullRule = NullRule()
    max_cohorts: int = 50
    labels: LabelPlan = field(default_factory=LabelPlan)


@dataclass(frozen=True, slots=True)
class BacktestResult:
    traces: int
    repeats: int
    baseline: Baseline | None  # None where nothing is watched
    baseline_traces: int
    alarms: tuple[Alarm, ...]  # in fold order; their places are numbers of traces, from 0
    incidents: tuple[IncidentFacts, ...] = ()  # that they make up, the first told first
    traces_read: tuple[int, ...] = ()  # when each alarm was raised: labels come after their traces
    period: WholePeriod | None = None  # what labels tell; None where none are given
    unknown_keys: tuple[str, ...] = ()  # a sentence on each cohort key that no trace has


def backtest(
    traces: Iterable[Trace],
    plan: BacktestPlan,
    reward_model: Callable[[], RewardModel | None] = lambda: None,
    embedder: Embedder | None = None,
    *,
    labels: Sequence[Label] | None = None,
) -> BacktestResult:
    """Freeze the first `baseline_traces` traces and watch the rest; estimate what *labels* tell of all.

    Raises `InvalidInput` where there are no more traces than the baseline takes.
    """
    entries, repeats, unknown = _observe_all(traces, plan, reward_model, embedder)
    count = sum(len(entry.subjects) for entry in entries)
    if not count:
        raise InvalidInput("the files hold no good trace: see docs/native-trace.schema.json")
    if count <= plan.baseline_traces:
        advice = "take fewer, so that some are left to watch" + (", or 0 for estimates alone" if labels else "")
        raise InvalidInput(f"--baseline {plan.baseline_traces}: the files hold {count} good traces: {advice}")
    written = _Written(plan, entries, labels)
    period = None if labels is None else whole_period(written.blocks, written.log, labels, plan.labels)
    if written.baseline is None:
        return BacktestResult(count, repeats, None, 0, (), period=period, unknown_keys=unknown)
    log, fold = written.log, Fold(written.baseline, plan.fold)
    outcomes = [outcome for entry in log.records for outcome in fold.add(entry)]
    decisions = in_fold_order(outcome for outcome in outcomes if isinstance(outcome, Decision))
    alarms = tuple(describe(decision, written.baseline, log) for decision in decisions)
    recoveries = [outcome for outcome in outcomes if isinstance(outcome, Recovery)]
    return BacktestResult(
        traces=count,
        repeats=repeats,
        baseline=written.baseline,
        baseline_traces=plan.baseline_traces,
        alarms=tuple(
            replace(alarm, place=place, onset_place=onset)
            for alarm, place, onset in zip(
                alarms,
                log.trace_numbers([alarm.place for alarm in alarms]),
                log.trace_numbers([alarm.onset_place for alarm in alarms]),
                strict=True,
            )
        ),
        incidents=incidents_of(alarms, recoveries, came=log.newcomers()),
        traces_read=tuple(log.traces_before(alarm.place + 1) for alarm in alarms),
        period=period,
        unknown_keys=unknown,
    )


class _Written:
    """The log of all *entries*, with the blocks of labels where they were settled, and the baseline frozen from it."""

    def __init__(self, plan: BacktestPlan, entries: deque[LogEntry], labels: Sequence[Label] | None) -> None:
        self.log = InMemoryLog()
        self.blocks = InMemoryBlocks(self.log, labels or (), on_entry=self._extend)
        self.baseline: Baseline | None = None
        self._plan = plan
        self._late = LateLaws(plan.null_rule, plan.labels.baseline_labels)
        rule = rule_of(plan.labels.blocks, entries, labels or ())
        keeper = BlockKeeper(self.blocks, rule)
        while entries:  # each is let go of, since the log holds it from then on
            self.log.append(entries.popleft())
            self._freeze()
            if labels is not None:
                while keeper.turn():
                    pass
        if labels is not None:
            keeper.finish(estimated(labels), end=self.log.end.next_place)

    def _freeze(self) -> None:
        wanted = self._plan.baseline_traces
        if self.baseline is None and 0 < wanted <= self.log.traces:
            stop_place = self.log.place_of_trace(wanted)
            self.baseline = freeze_window(self.log, self._plan.null_rule, first_place=0, stop_place=stop_place)

    def _extend(self) -> None:
        """Add the laws of what labels tell to the baseline, once enough of them are there."""
        if self.baseline is not None:
            self.baseline = self.baseline.extended(self._late.of(self.baseline, self.log))


def _observe_all(
    traces: Iterable[Trace],
    plan: BacktestPlan,
    reward_model: Callable[[], RewardModel | None],
    embedder: Embedder | None,
) -> tuple[deque[LogEntry], int, tuple[str, ...]]:
    entries, repeats = deque[LogEntry](), 0
    memory = InMemoryRepeats(plan.observe.repeat_window)
    names = InMemoryCohortNames(plan.max_cohorts)
    observer = Observer(plan.observe, names=names, repeats=memory, reward_model=reward_model, embedder=embedder)
    source = iter(traces)
    while block := list(islice(source, BLOCK)):
        observed = observer.observe(block)
        memory.remember(observed.counted_keys)
        repeats += sum(item.repeated for item in observed.traces)
        entries.append(observed.entry)
    return entries, repeats, tuple(observer.keys.unknown())
