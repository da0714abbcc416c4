"""What is told of labels, as tests hand it around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from monitor.labels.estimate import Bounds, Estimate, Span
from monitor.labels.report import BlockCounts, LabelReport, LabelUse

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WEEK = Span("week", date(2026, 11, 15), date(2026, 11, 22))
NO_NUMBER: dict[str, Any] = {
    "labels": 12,
    "estimate": None,
    "bounds": None,
    "anytime": None,
    "classical": None,
    "effective_labels": None,
    "labels_to_halve": None,
    "reason": "12 labels; an estimate takes at least 30",
}


def an_estimate(rate: float = 0.41, **changes: Any) -> Estimate:
    """Return a rate of a week: 81 labels that are worth 154."""
    usual = Estimate(
        signal="win_rate",
        cohort="*",
        policy_model="chat-2",
        criteria_version="c-1",
        span=WEEK,
        traces=805,
        labels=81,
        missing=0,
        estimate=rate,
        bounds=Bounds(rate - 0.05, rate + 0.05),
        anytime=Bounds(rate - 0.09, rate + 0.08),
        classical=Bounds(rate - 0.1, rate + 0.1),
        effective_labels=154.2,
        labels_to_halve=240,
    )
    return replace(usual, **changes)


def weeks_before(row: Estimate, rates: Sequence[float | None]) -> list[Estimate]:
    """Return the same of the weeks before, oldest first; None where there were too few labels."""
    found = []
    for number, rate in enumerate(rates):
        back = timedelta(days=7 * (len(rates) - number))
        span = Span("week", WEEK.start - back, WEEK.stop - back)
        if rate is None:
            found.append(replace(row, span=span, **NO_NUMBER))
        else:
            bounds = Bounds(rate - 0.05, rate + 0.05)
            found.append(replace(row, span=span, estimate=rate, bounds=bounds, reason=None))
    return found


def a_report(*estimates: Estimate, **changes: Any) -> LabelReport:
    usual = LabelReport(
        signal="win_rate",
        kind="preference",
        estimates=estimates,
        past=(),
        blocks=BlockCounts(40, 2, 3, NOW - timedelta(hours=26)),
        labels={LabelUse.COUNTED: 81, LabelUse.WAITING: 12, LabelUse.NOT_SELECTED: 5},
        present="chat-2",
        min_labels=30,
    )
    return replace(usual, **changes)
