"""What labels tell, as metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from prometheus_client import CollectorRegistry

from monitor.domain.review import SelectionPlan
from monitor.telemetry import label_series as series
from monitor.telemetry.declaration import Series
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
        def gauges(declared: Sequence[Series]) -> FreshGauges:
            return FreshGauges(*declared, freshness=Freshness(leader_seconds, clock), registry=registry)

        self._shown = gauges(series.LABEL_SERIES)
        self._agreement = gauges(series.AGREEMENT_SERIES)
        self._queue = gauges(series.REVIEW_SERIES)

    def show_labels(self, gauges: LabelGauges) -> None:
        self._shown.show(*astuple(gauges))

    def show_agreement(self, measures: Mapping[str, float], *, items: int, turnover: float | None) -> None:
        """Show how far annotators agree, by the measure's name, and how far they have changed."""
        changed: Rows = {} if turnover is None else {(): turnover}
        self._agreement.show({(name,): value for name, value in measures.items()}, {(): float(items)}, changed)

    def show_review(self, items: Mapping[str, int], answers: Mapping[str, int], plan: SelectionPlan) -> None:
        drawn: Rows = {("any",): plan.least, ("disputed",): max(plan.disputed, plan.least)}
        self._queue.show(_by_word(items), _by_word(answers), drawn)


def _by_word(counts: Mapping[str, int]) -> Rows:
    return {(word,): float(count) for word, count in counts.items()}
