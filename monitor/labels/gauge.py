"""What labels tell, as metrics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry

from monitor.labels.estimate import Estimate
from monitor.labels.report import WEEK, LabelReport
from monitor.signals.estimand import WIN_RATE
from monitor.telemetry import label_series as series
from monitor.telemetry.freshness import Clock, FreshGauges, Freshness
from monitor.telemetry.metrics import FRESH_SECONDS

Rows = dict[tuple[str, ...], float]


class LabelMetrics:
    """Written by the leader alone; withdrawn together where nobody confirms them."""

    def __init__(
        self, registry: CollectorRegistry, *, leader_seconds: float = FRESH_SECONDS, clock: Clock = time.monotonic
    ) -> None:
        freshness = Freshness(leader_seconds, clock)
        self._shown = FreshGauges(*series.LABEL_SERIES, freshness=freshness, registry=registry)

    def show_labels(self, reports: Sequence[LabelReport], *, late_after: timedelta, now: datetime) -> None:
        rates, labels, others = Rows(), Rows(), Rows()
        for estimate in (row for report in reports for row in largest(report.estimates, now=now)):
            own = {bound: value for bound, value in bounds_of(estimate).items() if value is not None}
            if estimate.signal == WIN_RATE.name:
                labels[estimate.cohort,] = estimate.labels
                rates |= {(estimate.cohort, bound): value for bound, value in own.items()}
            else:
                others |= {(estimate.signal, estimate.cohort, bound): value for bound, value in own.items()}
        blocks, waits = Rows(), Rows()
        for report in reports:
            told = report.blocks
            for outcome, count in {"matured": told.matured, "dropped": told.dropped, "waiting": told.waiting}.items():
                blocks[report.signal, outcome] = count
            since = told.waiting_since
            waits[report.signal,] = 0.0 if since is None else max((now - since).total_seconds(), 0.0)
        uses: Rows = {(report.kind, use): count for report in reports for use, count in report.labels.items()}
        self._shown.show(rates, labels, others, uses, blocks, waits, {(): late_after.total_seconds()})

    def withdraw(self) -> None:
        self._shown.withdraw()


def largest(estimates: Iterable[Estimate], *, now: datetime) -> list[Estimate]:
    """Return one estimate a signal and cohort, of the policy model with most traces; none of a week long past."""
    found: dict[tuple[str, str], Estimate] = {}
    for row in sorted(estimates, key=lambda row: row.traces):
        if row.span.name == "week" and now.date() - row.span.stop < WEEK:
            found[row.signal, row.cohort] = row
    return list(found.values())


def bounds_of(estimate: Estimate) -> Mapping[str, float | None]:
    """Return what is known of *estimate*, by the metric's label `bound`."""
    known = {"estimate": estimate.estimate}
    for prefix, bounds in (("", estimate.bounds), ("classical_", estimate.classical), ("anytime_", estimate.anytime)):
        known[f"{prefix}lower"] = None if bounds is None else bounds.lower
        known[f"{prefix}upper"] = None if bounds is None else bounds.upper
    return known
