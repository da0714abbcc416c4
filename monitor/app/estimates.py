"""What is told of labels, from the settings, and the leader's duty of showing it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from monitor.app.rules import block_rule_of
from monitor.labels.estimate import EstimateRule
from monitor.labels.gauge import gauges_of
from monitor.labels.report import WEEK, EstimateReports
from monitor.postgres.estimates import PostgresEstimates
from monitor.settings.root import Settings
from monitor.telemetry.labels import LabelMetrics

SHOW_SECONDS = 30.0


def estimates_of(engine: Engine, settings: Settings) -> EstimateReports:
    blocks, rule = block_rule_of(settings), EstimateRule(min_labels=settings.labels.min_labels)
    return EstimateReports(PostgresEstimates(engine, blocks), rule, blocks.sampling, clock=time.monotonic)


def late_after(settings: Settings) -> timedelta:
    """Return how long a block waits where nothing is wrong.

    With sampling `stated` each waits for the whole of `labels.wait_seconds`; else half of it is left for asking.
    """
    share = 1.5 if settings.labels.sampling == "stated" else 0.5
    return timedelta(hours=1, seconds=share * settings.labels.wait_seconds)


@dataclass(frozen=True, slots=True)
class ShowEstimates:
    """Show what labels tell of the last week, and how far their blocks are."""

    estimates: EstimateReports
    metrics: LabelMetrics
    late_after: timedelta

    def __call__(self) -> None:
        gauges = gauges_of(self.estimates.reports(days=WEEK.days), late_after=self.late_after, now=datetime.now(UTC))
        self.metrics.show_labels(gauges)
