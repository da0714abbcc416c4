"""What is told of labels: reports, the metrics of them, and their rows at a terminal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from monitor.cli.winrate import WHY, report_lines
from monitor.domain.label import LabelSource
from monitor.labels.estimate import EstimateRule, Span
from monitor.labels.gauge import gauges_of
from monitor.labels.item import Sampling
from monitor.labels.report import (
    AGAIN_SECONDS,
    BlockCounts,
    EstimateReports,
    Evidence,
    LabelFacts,
    LabelUse,
    present_model,
)
from monitor.signals.estimand import Estimand
from monitor.telemetry.labels import LabelMetrics
from tests.reports import NO_NUMBER, NOW, a_report, an_estimate
from tests.settled import evidence

STATED = LabelFacts(
    LabelSource.HUMAN,
    meets_criteria=True,
    stated=True,
    selected=False,
    stored=True,
    counted=False,
    settled=False,
    dropped=False,
    late=False,
    labels=50,
)


@dataclass
class InMemoryEvidence:
    """What is stored, and how often it was read."""

    found: Evidence
    marked: int = 0
    reads: int = 0

    def mark(self, estimand: Estimand) -> int:
        return self.marked

    def evidence(self, estimand: Estimand, *, recent: timedelta, days: int | None) -> Evidence:
        self.reads += estimand.name == "win_rate"
        return self.found if estimand.name == "win_rate" else Evidence()


def shown(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_reports_are_made_anew_only_where_something_has_come() -> None:
    store, now = InMemoryEvidence(Evidence()), [0.0]
    reports = EstimateReports(store, EstimateRule(), Sampling.REVIEW, clock=lambda: now[0])
    for _ in range(3):
        assert [report.signal for report in reports.reports()] == ["win_rate"]
    assert store.reads == 1
    store.marked += 1
    reports.reports()
    now[0] += AGAIN_SECONDS + 1
    reports.reports()
    assert store.reads == 3


def test_windows_end_with_the_last_settled_day_and_the_weeks_before_are_told_apart() -> None:
    items, sums = evidence(days=30, until=NOW)
    store = InMemoryEvidence(Evidence(sums=sums, items=items))
    [report] = EstimateReports(store, EstimateRule(), Sampling.REVIEW, clock=lambda: 0.0).reports(past_weeks=3)
    week = report.only(window="week", cohort="*").estimates
    assert [row.span for row in week] == [Span("week", date(2026, 11, 15), date(2026, 11, 22))]
    assert [row.span.start.day for row in report.past if row.cohort == "*"] == [25, 1, 8]
    assert week[0].bounds is not None
    assert week[0].bounds.lower < 0.4 < week[0].bounds.upper
    [recent] = EstimateReports(store, EstimateRule(), Sampling.REVIEW, clock=lambda: 0.0).reports(days=7)
    assert {row.span.name for row in recent.estimates} == {"day", "week"}
    assert {row.policy_model for row in report.only(policy_model="chat-9").estimates} == set()


def test_labels_that_state_what_the_queue_did_not_draw_come_with_the_setting_that_lets_them_count() -> None:
    def told(sampling: Sampling) -> tuple[dict[LabelUse, int], str]:
        store = InMemoryEvidence(Evidence(facts=[STATED, replace(STATED, stated=None, labels=3)]))
        [report] = EstimateReports(store, EstimateRule(), sampling, clock=lambda: 0.0).reports()
        return dict(report.labels), report.hint

    labels, hint = told(Sampling.REVIEW)
    assert labels == {LabelUse.NOT_SELECTED: 53}
    assert hint.startswith("50 labels state the probability")
    assert "labels.sampling to stated" in hint
    assert told(Sampling.STATED) == ({LabelUse.WAITING: 50, LabelUse.NO_PROBABILITY: 3}, "")


def test_a_rate_with_too_few_labels_is_missing_from_the_metrics_and_not_zero() -> None:
    registry = CollectorRegistry()
    few = an_estimate(cohort="few", **NO_NUMBER)
    other = an_estimate(0.9, policy_model="chat-1", traces=3)
    refusal = an_estimate(0.06, signal="refusal_rate", anytime=None)
    day = an_estimate(0.7, span=Span("day", date(2026, 11, 21), date(2026, 11, 22)))
    reports = [a_report(an_estimate(), other, few, day), a_report(refusal, signal="refusal_rate", kind="refusal")]
    LabelMetrics(registry).show_labels(gauges_of(reports, late_after=timedelta(hours=84), now=NOW))
    assert shown(registry, "monitor_win_rate", cohort="*", bound="estimate") == 0.41
    assert shown(registry, "monitor_win_rate", cohort="*", bound="anytime_lower") == pytest.approx(0.32)
    assert shown(registry, "monitor_win_rate", cohort="few", bound="estimate") is None
    assert shown(registry, "monitor_win_rate_labels", cohort="few") == 12
    assert shown(registry, "monitor_estimate", signal="refusal_rate", cohort="*", bound="estimate") == 0.06
    assert shown(registry, "monitor_estimate", signal="refusal_rate", cohort="*", bound="anytime_lower") is None
    assert shown(registry, "monitor_labels", kind="preference", use="not_selected") == 5
    assert shown(registry, "monitor_label_blocks", signal="win_rate", outcome="dropped") == 2
    assert shown(registry, "monitor_label_wait_seconds", signal="win_rate") == 26 * 3600
    assert shown(registry, "monitor_label_wait_limit_seconds") == 84 * 3600


def test_the_rate_shown_is_that_of_the_policy_model_that_serves_now_from_its_first_fifty_labels_on() -> None:
    items, _ = evidence(days=7, share=0.2, until=NOW)
    last = max(item.timestamp for item in items)
    released = [replace(item, policy_model="chat-3", timestamp=last + timedelta(minutes=1)) for item in items]
    assert len(items) > 300
    assert present_model(items + released[:40]) == "chat-2"
    assert present_model(items + released[:60]) == "chat-3"
    assert present_model([]) is None


def test_a_week_long_past_is_not_shown_as_the_rate_of_now() -> None:
    late = gauges_of([a_report(an_estimate())], late_after=timedelta(0), now=NOW + timedelta(days=9))
    assert (late.win_rate, late.win_rate_labels) == ({}, {})


def test_every_reason_why_a_label_does_not_count_has_its_words() -> None:
    assert set(LabelUse) - set(WHY) == {LabelUse.COUNTED, LabelUse.WAITING}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"estimates": ()}, "no win_rate yet: it takes blocks whose labels are all there, and 30 labels"),
        ({}, "blocks: 3 wait for labels, the oldest for 26.0 hours"),
        ({}, "blocks of the last seven days: 40 counted, 2 dropped (5%), since a label did not come"),
        ({}, "  5 do not count: the review queue did not draw their traces"),
        ({"blocks": BlockCounts(), "labels": {}}, "labels of the last seven days: 0 count, 0 wait"),
    ],
)
def test_blocks_and_labels_are_told_at_a_terminal(changes: dict[str, Any], told: str) -> None:
    lines = list(report_lines(a_report(an_estimate(), **changes), NOW))
    assert any(line.startswith(told) for line in lines), lines
