"""Alarms made again from the log: the same decision, its parts, and what differs where the settings do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.domain.alarm import AlarmKind, AlarmState, Severity, StoredAlarm
from monitor.domain.cohort import CohortRule
from monitor.drift.budget import Budget
from monitor.drift.controller import freeze_window
from monitor.drift.explain import Explanation, explain
from monitor.drift.fold import FoldRules
from monitor.observe.cohorts import InMemoryCohortNames
from monitor.observe.repeat import InMemoryRepeats
from monitor.observe.step import Observer, ObserveRules
from monitor.offline.backtest import BacktestPlan, backtest
from monitor.offline.log import InMemoryLog
from tests.asked import LONG, SHORT, Asked, traffic

PLAN = BacktestPlan(1000, ObserveRules(CohortRule(("dataset",))))
PARTS = [Asked(1300, {SHORT: 0.8, LONG: 0.2}), Asked(700, {SHORT: 0.4, LONG: 0.6}, longer=1.4)]
BLOCK = 150


class Case:
    """One backtest with its log, whose alarms can be made again."""

    def __init__(self) -> None:
        traces = traffic(PARTS)
        self.result, self.log = backtest(traces, PLAN), InMemoryLog()
        memory = InMemoryRepeats(PLAN.observe.repeat_window)
        observer = Observer(PLAN.observe, names=InMemoryCohortNames(50), repeats=memory, reward_model=lambda: None)
        for start in range(0, len(traces), BLOCK):
            observed = observer.observe(traces[start : start + BLOCK])
            memory.remember(observed.counted_keys)
            self.log.append(observed.entry)

    def stored(self, kind: AlarmKind, severity: Severity) -> StoredAlarm:
        alarm = next(
            alarm
            for alarm in self.result.alarms
            if (alarm.kind, alarm.severity, alarm.stream.cohort) == (kind, severity, "*")
        )
        return StoredAlarm(7, AlarmState.OPEN, alarm, alarm.timestamp, baseline_id=1)

    def explained(
        self, stored: StoredAlarm, rules: FoldRules = PLAN.fold, max_places: int | None = None
    ) -> Explanation:
        return explain(stored, self.result.baseline, self.log, rules, max_places=max_places)


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


@pytest.mark.parametrize("severity", Severity)
def test_the_log_decides_again_at_the_same_place_and_the_cohorts_make_up_the_effect(
    case: Case, severity: Severity
) -> None:
    stored = case.stored(AlarmKind.DRIFT, severity)
    told = case.explained(stored)
    assert told.recount is not None
    assert told.effect is not None
    assert (told.recount.agrees, told.recount.place) == (True, stored.alarm.place)
    assert told.recount.onset_place == stored.alarm.onset_place
    assert told.decomposition == stored.alarm.decomposition
    assert sum(part.contribution for part in told.cohorts) == pytest.approx(told.effect.estimate)
    assert tuple(example.trace_id for example in told.examples) == stored.alarm.examples


def test_the_margin_s_parts_are_in_the_operator_s_unit_and_only_an_alert_s_has_a_tolerance(case: Case) -> None:
    alert, warning = (case.explained(case.stored(AlarmKind.DRIFT, severity)).margin for severity in reversed(Severity))
    assert alert is not None
    assert warning is not None
    assert case.result.baseline is not None
    law = case.result.baseline.get("response_length", "reported")
    assert law is not None
    assert alert.unit == "tokens"
    assert alert.tolerance == pytest.approx(0.1 * law.strata[0].mean, rel=0.02)
    assert warning.tolerance == 0.0
    assert alert.distance > 0.1
    parts = (alert.error, alert.least, alert.tolerance, alert.wander, alert.kinds, alert.leaning)
    assert all(part >= 0 for part in parts)
    assert max(parts) < alert.total < 1.2 * sum(parts)  # a length's parts multiply
    assert 0.0 < alert.stake <= 1.0


def test_examples_have_the_baseline_s_answers_to_prompts_like_theirs(case: Case) -> None:
    told = case.explained(case.stored(AlarmKind.DRIFT, Severity.ALERT))
    for example in told.examples:
        is_essay = example.expected > 150
        assert len(example.alike) == 3
        assert all(row.place < 1000 and row.similarity > 0.4 for row in example.alike)
        assert all((row.value > 130) == is_essay for row in example.alike)


def test_another_threshold_is_told_as_what_differs(case: Case) -> None:
    stored = case.stored(AlarmKind.DRIFT, Severity.ALERT)
    later, sooner = (
        case.explained(stored, FoldRules(Budget(average_run_length=length))).recount for length in (1e30, 50.0)
    )
    assert later is not None
    assert sooner is not None
    assert (later.agrees, later.place) == (False, None)
    assert later.evidence_log is not None
    assert 0.0 < later.evidence_log < 1.0
    assert "by today's settings there is no alert" in later.note
    assert sooner.place is not None
    assert sooner.place < stored.alarm.place
    assert f"at place {sooner.place}" in sooner.note


def test_folded_from_shortly_before_alone_the_parts_are_the_same_and_the_evidence_is_not_claimed(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.drift.refold.WARM_PLACES", 400)
    stored = case.stored(AlarmKind.DRIFT, Severity.ALERT)
    whole, part = case.explained(stored), case.explained(stored, max_places=10)
    assert whole.margin is not None
    assert part.margin is not None
    assert part.recount is not None
    assert part.margin.total == pytest.approx(whole.margin.total, rel=1e-4)  # 400 places are six memories of the mix
    assert (part.recount.whole, part.recount.agrees, part.recount.evidence_log) == (False, False, None)


def test_an_input_shift_is_explained_by_the_kinds_that_moved(case: Case) -> None:
    told = case.explained(case.stored(AlarmKind.INPUT_SHIFT, Severity.WARNING))
    assert told.recount is not None
    assert told.recount.agrees
    assert told.margin is None
    assert max(told.kinds, key=lambda kind: kind.of_late - kind.usual).name.startswith("en, 16")
    assert [cause.cause for cause in told.causes] == ["input_shift"]


def test_what_the_log_has_forgotten_is_left_out(case: Case) -> None:
    stored = case.stored(AlarmKind.DRIFT, Severity.ALERT)
    forgetful = InMemoryLog()
    told = explain(stored, case.result.baseline, forgetful, PLAN.fold)
    assert (told.recount, told.margin, told.examples) == (None, None, ())
    assert told.effect == stored.alarm.effect
    assert explain(replace(stored, baseline_id=None), None, forgetful, PLAN.fold).recount is None


def test_the_baseline_is_what_a_freeze_of_the_same_window_gives(case: Case) -> None:
    again = freeze_window(case.log, PLAN.null_rule, first_place=0, stop_place=1000)
    assert again == case.result.baseline
