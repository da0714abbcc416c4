"""A backtest whose answers grow longer in one of two cohorts, with its log, so that its alarms can be drawn again."""

from __future__ import annotations

from msgspec.structs import replace as changed

from monitor.domain.alarm import AlarmKind, AlarmState, Severity, StoredAlarm
from monitor.domain.cohort import CohortRule
from monitor.drift.curve import Curves, draw
from monitor.drift.explain import Explanation, explain
from monitor.observe.cohorts import InMemoryCohortNames
from monitor.observe.repeat import InMemoryRepeats
from monitor.observe.step import Observer, ObserveRules
from monitor.offline.backtest import BacktestPlan, backtest
from tests.asked import LONG, SHORT, Asked, traffic
from tests.curves import InMemoryCurveLog

PLAN = BacktestPlan(1000, ObserveRules(CohortRule(("dataset",))))
STEP = 1300  # traces before the change
PARTS = [Asked(STEP, {SHORT: 0.8, LONG: 0.2}), Asked(700, {SHORT: 0.8, LONG: 0.2}, longer=1.4)]
BLOCK = 150


class Drifted:
    """Two cohorts, of which only the second's answers grow longer; with a *release* a new policy model gives them."""

    def __init__(self, release: str | None = None) -> None:
        calm, wild = traffic([Asked(2000, {SHORT: 0.8, LONG: 0.2})]), traffic(PARTS)
        traces = [
            changed(calm[number], cohort={"dataset": "calm"})
            if number % 3 == 0
            else changed(wild[number], cohort={"dataset": "wild"})
            for number in range(2000)
        ]
        if release is not None:
            traces[STEP:] = [changed(item, policy_model=release) for item in traces[STEP:]]
        self.result, self.log = backtest(traces, PLAN), InMemoryCurveLog()
        memory = InMemoryRepeats(PLAN.observe.repeat_window)
        observer = Observer(PLAN.observe, names=InMemoryCohortNames(50), repeats=memory, reward_model=lambda: None)
        for start in range(0, len(traces), BLOCK):
            observed = observer.observe(traces[start : start + BLOCK])
            memory.remember(observed.counted_keys)
            self.log.append(observed.entry)

    def stored(self, severity: Severity = Severity.ALERT, cohort: str = "*") -> StoredAlarm:
        alarm = next(
            alarm
            for alarm in self.result.alarms
            if (alarm.kind, alarm.severity, alarm.stream.cohort) == (AlarmKind.DRIFT, severity, cohort)
        )
        return StoredAlarm(7, AlarmState.OPEN, alarm, alarm.timestamp, baseline_id=1)

    def drawn(self, stored: StoredAlarm) -> Curves:
        drawn = draw(stored, self.result.baseline, self.log, PLAN.fold)
        assert drawn is not None
        return drawn

    def explained(self, stored: StoredAlarm) -> Explanation:
        return explain(stored, self.result.baseline, self.log, PLAN.fold)
