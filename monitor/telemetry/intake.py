"""What a process exports of the labels that came to it, and of the calls that came in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from prometheus_client import CollectorRegistry

from monitor.domain.label import LabelOutcome, LabelSource
from monitor.telemetry import series
from monitor.telemetry.declaration import counter_of
from monitor.telemetry.freshness import FreshGauges, Freshness
from monitor.telemetry.join_series import FRAGMENT_AGE_SECONDS, FRAGMENTS, FRAGMENTS_WAITING, INCOMPLETE_CALLS

UNKNOWN_SOURCE = "unknown"


class LabelCounts:
    """Counts labels, from 0, by what became of them and who judged; safe from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._labels = counter_of(series.RECEIVED_LABELS, registry)
        for outcome in LabelOutcome:
            for source in [UNKNOWN_SOURCE] if outcome == LabelOutcome.INVALID else LabelSource:
                self._labels.labels(outcome, source)

    def count(self, outcome: LabelOutcome, source: LabelSource) -> None:
        self._labels.labels(outcome, source).inc()

    def count_invalid(self, count: int) -> None:
        self._labels.labels(LabelOutcome.INVALID, UNKNOWN_SOURCE).inc(count)


class Missing(StrEnum):
    """What a call was taken without, once its time to wait was over."""

    TEXT = "text"
    PARENT = "parent"  # or who asked: a span further up
    SPAN = "span"  # its texts told the model, so they are the call


class JoinCounts:
    """Counts what waits and what did not find together, from 0; safe from any thread."""

    def __init__(self, registry: CollectorRegistry, freshness: Freshness) -> None:
        self._stored = counter_of(FRAGMENTS, registry)
        self._incomplete = counter_of(INCOMPLETE_CALLS, registry)
        for missing in Missing:
            self._incomplete.labels(missing)
        self._waiting = FreshGauges(FRAGMENTS_WAITING, FRAGMENT_AGE_SECONDS, freshness=freshness, registry=registry)

    def count(self, incomplete: Mapping[Missing, int], *, waits: int) -> None:
        self._stored.inc(waits)
        for missing, calls in incomplete.items():
            self._incomplete.labels(missing).inc(calls)

    def show_waiting(self, parts: int, oldest_seconds: float) -> None:
        self._waiting.show({(): parts}, {(): oldest_seconds})
