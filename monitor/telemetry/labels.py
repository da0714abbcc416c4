"""What labels tell, as metrics."""

from __future__ import annotations

import time
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
    """Written by the leader alone; withdrawn together where nobody confirms them."""

    def __init__(
        self, registry: CollectorRegistry, *, leader_seconds: float = FRESH_SECONDS, clock: Clock = time.monotonic
    ) -> None:
        freshness = Freshness(leader_seconds, clock)
        self._shown = FreshGauges(*series.LABEL_SERIES, freshness=freshness, registry=registry)

    def show_labels(self, gauges: LabelGauges) -> None:
        self._shown.show(*astuple(gauges))
