"""What labels tell, as metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass

from prometheus_client import CollectorRegistry

from monitor.telemetry import label_series as series
from monitor.telemetry.freshness import Clock, FreshGauges, Freshness, Rows
from monitor.telemetry.metrics import FRESH_SECONDS


@dataclass(frozen=True, slots=True)
class LabelGauges:
    """The values of `LABEL_SERIES`, in their order, each by its labels."""

    win_rate: Rows
    win_rate_labels: Rows
    estimate: Rows
    labels: Rows
    blocks: Rows
    wait_seconds: Rows
    wait_limit_seconds: Rows


class LabelMetrics:
    """Written by the leader alone; what one call shows is withdrawn together where nobody confirms it."""

    def __init__(
        self, registry: CollectorRegistry, *, leader_seconds: float = FRESH_SECONDS, clock: Clock = time.monotonic
    ) -> None:
        freshness = Freshness(leader_seconds, clock)
        self._shown = FreshGauges(*series.LABEL_SERIES, freshness=freshness, registry=registry)
        agreed = Freshness(leader_seconds, clock)
        self._agreement = FreshGauges(*series.AGREEMENT_SERIES, freshness=agreed, registry=registry)

    def show_labels(self, gauges: LabelGauges) -> None:
        self._shown.show(*astuple(gauges))

    def show_agreement(self, measures: Mapping[str, float], *, items: int, turnover: float | None) -> None:
        """Show how far annotators agree, by the measure's name, and how far they have changed."""
        changed: Rows = {} if turnover is None else {(): turnover}
        self._agreement.show({(name,): value for name, value in measures.items()}, {(): float(items)}, changed)
