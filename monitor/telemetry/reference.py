"""What asking the released policy again exports."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry

from monitor.domain.reference import AnswerOutcome, Budget
from monitor.telemetry import series
from monitor.telemetry.declaration import counter_of
from monitor.telemetry.freshness import Clock, FreshGauges, Freshness
from monitor.telemetry.metrics import FRESH_SECONDS


class ReferenceMetrics:
    """Written by the leader alone; what is left of the budget is withdrawn where it is not confirmed."""

    def __init__(
        self, registry: CollectorRegistry, *, leader_seconds: float = FRESH_SECONDS, clock: Clock = time.monotonic
    ) -> None:
        self._requests = counter_of(series.REFERENCE_REQUESTS, registry)
        for outcome in AnswerOutcome:
            self._requests.labels(outcome)
        freshness = Freshness(leader_seconds, clock)
        self._left = FreshGauges(series.REFERENCE_BUDGET_LEFT, freshness=freshness, registry=registry)

    def count_reference(self, outcome: AnswerOutcome) -> None:
        self._requests.labels(outcome).inc()

    def show_reference_budget(self, left: Budget) -> None:
        self._left.show({("requests",): float(left.requests), ("tokens",): float(left.tokens)})
