"""Labels beside the traces of a backtest: rates near the truth, a fall that is found, and labels that do not count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Any

import numpy as np
import pytest

from monitor.domain.alarm import Severity
from monitor.domain.cohort import CohortRule
from monitor.domain.label import Label, LabelSource
from monitor.domain.trace import ReportedScores, Trace
from monitor.labels.estimate import Estimate
from monitor.observe.step import ObserveRules
from monitor.offline.backtest import BacktestPlan, backtest
from monitor.offline.estimate import WholePeriod
from tests.labels import label
from tests.traces import COHORTS, trace

ALONE = BacktestPlan(0, ObserveRules(CohortRule(("dataset",))))


@dataclass(frozen=True, slots=True)
class World:
    """Traces whose true verdicts are known; a share of them is labelled."""

    traces: list[Trace]
    verdicts: np.ndarray[Any, np.dtype[np.float64]]
    labels: list[Label]


def world(count: int, *, wins: float = 0.5, change: int | None = None, after: float = 0.5, share: float = 0.1) -> World:
    """Return *count* traces of which *wins* win, from *change* on *after*; reward models agree with most verdicts."""
    rng = np.random.default_rng(3)
    rate = np.where(np.arange(count) < (count if change is None else change), wins, after)
    verdicts = (rng.random(count) < rate).astype(np.float64)
    margins = rng.normal(2.0 * verdicts - 0.4, 1.2)
    delays = rng.exponential(3600.0, count)
    traces = [
        trace(number, reference_response="So.", reward_scores=ReportedScores(float(margins[number]), 0.0))
        for number in range(count)
    ]
    labels = [
        label(
            int(number),
            trace_id=f"t-{number}",
            value=float(verdicts[number]),
            timestamp=traces[number].timestamp + timedelta(seconds=float(delays[number])),
            inclusion_probability=share,
        )
        for number in np.flatnonzero(rng.random(count) < share)
    ]
    return World(traces, verdicts, labels)


def period_of(traces: list[Trace], labels: list[Label], plan: BacktestPlan = ALONE) -> WholePeriod:
    period = backtest(traces, plan, labels=labels).period
    assert period is not None
    return period


def row_of(period: WholePeriod, cohort: str = "*", signal: str = "win_rate") -> Estimate:
    [row] = [row for row in period.estimates if (row.signal, row.cohort) == (signal, cohort)]
    return row


def test_every_trace_counts_in_an_estimate_near_the_truth_that_the_reward_models_miss() -> None:
    made = world(2000, wins=0.3)
    period = period_of(made.traces, made.labels)
    row = row_of(period)
    assert (row.traces, row.labels) == (2000, len(made.labels))
    assert (period.start, period.stop) == (made.traces[0].timestamp, made.traces[-1].timestamp)
    assert row.bounds is not None
    assert row.classical is not None
    assert row.bounds.lower < made.verdicts.mean() < row.bounds.upper
    assert row.bounds.upper - row.bounds.lower < row.classical.upper - row.classical.lower
    assert [row_of(period, cohort).traces for cohort in COHORTS] == [1000, 1000]


def test_labels_in_any_order_come_to_the_same() -> None:
    made = world(1000)
    mixed = Random(1).sample(made.labels, len(made.labels))
    assert period_of(made.traces, mixed) == period_of(made.traces, made.labels)


def test_a_fall_of_the_win_rate_is_found_after_it_began_and_told_by_the_trace_it_is_about() -> None:
    made = world(8000, change=5000, after=0.3, share=0.2)
    plan = replace(ALONE, baseline_traces=2500)
    result = backtest(made.traces, plan, labels=made.labels)
    alerts = {
        alarm.stream.signal: (alarm, read)
        for alarm, read in zip(result.alarms, result.traces_read, strict=True)
        if alarm.severity is Severity.ALERT and alarm.stream.cohort == "*"
    }
    alarm, read = alerts["win_rate"]
    assert alarm.trace_id == f"t-{alarm.place}"
    assert 5000 < alarm.place < 6000
    assert alarm.onset_place == pytest.approx(5000, abs=150)
    assert read >= alarm.place
    assert alarm.effect is not None
    assert alarm.effect.upper < 0
    assert alarm.stream.scorer_version == "any"
    quiet = world(8000, share=0.2)
    silent = backtest(quiet.traces, plan, labels=quiet.labels).alarms
    assert not [alarm for alarm in silent if alarm.severity is Severity.ALERT]


def test_labels_leave_what_is_found_without_them_as_it_is() -> None:
    made = world(3000, change=2000, after=0.2)
    plan = replace(ALONE, baseline_traces=1000)
    alone, beside = backtest(made.traces, plan), backtest(made.traces, plan, labels=made.labels)
    signals = {alarm.stream.signal for alarm in alone.alarms}
    assert "reward_win" in signals
    assert [(alarm.stream, alarm.place, alarm.onset_place) for alarm in alone.alarms] == [
        (alarm.stream, alarm.place, alarm.onset_place) for alarm in beside.alarms if alarm.stream.signal in signals
    ]


def test_a_label_whose_probability_is_too_small_to_count_makes_no_interval_wider() -> None:
    made = world(600)
    unknown = next(trace for trace in made.traces if trace.trace_id not in {given.trace_id for given in made.labels})
    tiny = label(0, label_id="tiny", trace_id=unknown.trace_id, timestamp=unknown.timestamp, inclusion_probability=1e-9)
    assert row_of(period_of(made.traces, [*made.labels, tiny])) == row_of(period_of(made.traces, made.labels))


def test_what_counts_in_no_estimate_is_told_apart() -> None:
    made = world(1000)
    bare = trace(1000, messages=made.traces[0].messages, reference_response="So.")  # a repeat
    strangers = [
        label(1, label_id="a", trace_id="elsewhere", inclusion_probability=0.1),
        label(2, label_id="b", trace_id="t-1", source=LabelSource.USER, kind="rating"),
        label(3, label_id="c", trace_id="t-2"),
        label(4, label_id="d", trace_id="t-3", inclusion_probability=0.001),
        label(5, label_id="e", trace_id="t-1000", inclusion_probability=0.1),
    ]
    period = period_of([*made.traces, bare], made.labels + strangers)
    uses = period.uses
    assert (uses.of_no_trace, uses.of_nobody, uses.unstated, uses.left) == (1, 1, 2, 1)
    assert (uses.read, uses.counted) == (len(made.labels) + 5, len(made.labels))
    assert row_of(period).labels == row_of(period_of(made.traces, made.labels)).labels


@pytest.mark.parametrize("labels", [0, 12], ids=["none", "a dozen"])
def test_too_few_labels_give_a_reason_and_no_number(labels: int) -> None:
    made = world(1000)
    unstated = [replace(item, inclusion_probability=None) for item in made.labels]
    period = period_of(made.traces, made.labels[:labels] or unstated)
    rows = [row for row in period.estimates if row.signal == "win_rate"]
    assert (rows[0].cohort, rows[0].labels, rows[0].estimate) == ("*", labels, None)
    assert all(row.reason for row in rows)


def test_refusals_are_estimated_where_labels_say_what_is_one_and_their_detector_is_corrected() -> None:
    rng = np.random.default_rng(1)
    traces = [trace(number) for number in range(2000)]  # the detector finds no refusal
    labels = [
        label(
            number, trace_id=f"t-{number}", kind="refusal", value=float(rng.random() < 0.2), inclusion_probability=0.2
        )
        for number, refuses in enumerate((rng.random(2000) < 0.2).tolist())
        if rng.random() < 0.2
    ]
    period = period_of(traces, labels)
    row = row_of(period, signal="refusal_rate")
    assert row.bounds is not None
    assert row.bounds.lower < 0.2 < row.bounds.upper
    assert row.bounds.lower > 0.1
    assert not [row for row in period.estimates if row.signal == "win_rate"]  # no trace has a reference response
