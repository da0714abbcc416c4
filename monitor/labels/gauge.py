"""What is told of labels, as gauges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from monitor.labels.estimate import Estimate
from monitor.labels.report import WEEK, LabelReport
from monitor.signals.estimand import WIN_RATE
from monitor.telemetry.labels import LabelGauges

Rows = dict[tuple[str, ...], float]


def gauges_of(reports: Sequence[LabelReport], *, late_after: timedelta, now: datetime) -> LabelGauges:
    """Return the rates of the last week with settled blocks, and what became of labels and blocks."""
    rates, labelled, others = Rows(), Rows(), Rows()
    for row in (row for report in reports for row in of_present(report, now=now)):
        known = {bound: value for bound, value in bounds_of(row).items() if value is not None}
        if row.signal == WIN_RATE.name:
            labelled[row.cohort,] = row.labels
            rates |= {(row.cohort, bound): value for bound, value in known.items()}
        else:
            others |= {(row.signal, row.cohort, bound): value for bound, value in known.items()}
    blocks, waits = Rows(), Rows()
    for report in reports:
        told = report.blocks
        for outcome, count in {"matured": told.matured, "dropped": told.dropped, "waiting": told.waiting}.items():
            blocks[report.signal, outcome] = count
        since = told.waiting_since
        waits[report.signal,] = 0.0 if since is None else max((now - since).total_seconds(), 0.0)
    return LabelGauges(
        win_rate=rates,
        win_rate_labels=labelled,
        estimate=others,
        labels={(report.kind, use): count for report in reports for use, count in report.labels.items()},
        blocks=blocks,
        wait_seconds=waits,
        wait_limit_seconds={(): late_after.total_seconds()},
    )


def of_present(report: LabelReport, *, now: datetime) -> list[Estimate]:
    """Return the week's estimates of the policy model that serves now; none of a week long past."""
    return [
        row
        for row in report.only(window="week", policy_model=report.present).estimates
        if now.date() - row.span.stop < WEEK
    ]


def bounds_of(estimate: Estimate) -> Mapping[str, float | None]:
    """Return what is known of *estimate*, by the metric's label `bound`."""
    known = {"estimate": estimate.estimate, "opinion": estimate.opinion}
    for prefix, bounds in (("", estimate.bounds), ("classical_", estimate.classical), ("anytime_", estimate.anytime)):
        known[f"{prefix}lower"] = None if bounds is None else bounds.lower
        known[f"{prefix}upper"] = None if bounds is None else bounds.upper
    return known
