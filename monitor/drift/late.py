"""The laws of labels and probes: each has a window of its own, since what tells it comes later than the traces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from monitor.domain.observation import micros_of
from monitor.drift.baseline import Baseline, SignalBaseline
from monitor.drift.design import span_of
from monitor.drift.freeze import NullRule, Window, build_signal_baseline
from monitor.drift.log import FeedbackLog, LabelLog, LabelSpan, ObservationLog, ProbeLog, SourceSpan, windows_of
from monitor.signals.estimand import ESTIMANDS, WIN_RATE, WIN_RATE_LC, Estimand

DATED = 200  # observations of a window that tell how long it lasted
MORE = 1.2  # times as many labels as when a law could not be frozen, before it is tried again


@dataclass(slots=True)
class LateLaws:
    """Freezes a law that a baseline lacks as soon as its labels, or the outcomes of its probes, are enough."""

    rule: NullRule
    least_labels: int
    least_outcomes: int = 200
    least_traces: int = 2_000  # whose users did something or not, which is rare
    _tried: dict[tuple[int, str, str], int] = field(default_factory=dict)  # labels there were, by baseline and law

    def of(self, baseline: Baseline, log: LabelLog) -> list[SignalBaseline]:
        """Return the laws that are new, of labelled blocks whose traces came since the window of *baseline* began.

        Each is followed from the end of the blocks that made it: those are not bet on.
        """
        known, found = {law.key for law in baseline.signals}, []
        for estimand in ESTIMANDS.values():
            span = log.label_span(estimand, baseline.first_place)
            if span is None:
                continue
            ready = {key: labels for key, labels in _counts(estimand, span).items() if labels >= self.least_labels}
            wanted = {
                key: labels
                for key, labels in ready.items()
                if key not in known and labels >= MORE * self._tried.get((baseline.first_place, *key), 0)
            }
            if not wanted:
                continue
            self._tried |= {(baseline.first_place, *key): labels for key, labels in wanted.items()}
            names = {signal for signal, _ in wanted}
            batches = log.window(span.first_place, span.stop_place, names)
            own = (batch for batch in batches if (batch.series.signal, batch.series.scorer_version) in wanted)
            for window in windows_of(own, names):
                if window.signal == WIN_RATE_LC.name and self._begun_late(estimand, span, window, log):
                    continue
                law = build_signal_baseline(window, self.rule, None)
                if law is not None and law.strata:
                    found.append(replace(law, since=span.stop_place, days=days_of(log, window.places)))
        return found

    def of_probes(self, baseline: Baseline, log: ProbeLog) -> list[SignalBaseline]:
        """Return the laws that are new, of the first outcomes of each suite since the window of *baseline* began.

        They hang on the log alone: whoever looks later finds the same. What made a law is not bet on.
        """
        return self._of_spans(baseline, log, log.probe_spans(baseline.first_place, outcomes=self.least_outcomes))

    def of_feedback(self, baseline: Baseline, log: FeedbackLog) -> list[SignalBaseline]:
        """Return the laws that are new, of the first traces since the window began whose users have had their time."""
        return self._of_spans(baseline, log, log.feedback_spans(baseline.first_place, traces=self.least_traces))

    def _of_spans(self, baseline: Baseline, log: ObservationLog, spans: Iterable[SourceSpan]) -> list[SignalBaseline]:
        known, found = {law.key for law in baseline.signals}, []
        for span in spans:
            key = span.signal, span.scorer_version
            if key in known:
                continue
            batches = log.window(span.first_place, span.stop_place, {span.signal})
            own = (batch for batch in batches if batch.series.scorer_version == span.scorer_version)
            for window in windows_of(own, {span.signal}):
                law = build_signal_baseline(window, self.rule, None)
                if law is not None and law.strata:
                    found.append(replace(law, since=span.stop_place, days=days_of(log, window.places)))
        return found

    def _begun_late(self, estimand: Estimand, span: LabelSpan, window: Window, log: LabelLog) -> bool:
        """Say whether *window* has too few labels: its values begin once it is known what length explains."""
        batches = log.window(int(window.places[0]), span.stop_place, {estimand.labelled})
        own = [len(batch.values) for batch in batches if batch.series.scorer_version == window.scorer_version]
        return sum(own) < self.least_labels


def _counts(estimand: Estimand, span: LabelSpan) -> dict[tuple[str, str], int]:
    """Return how many labels each law would be made of, by signal and version."""
    signals = {estimand.name: span.verdicts, estimand.rectifier: span.compared}
    if estimand.accuracy is not None:
        signals[estimand.accuracy.name] = span.compared
    if estimand is WIN_RATE:
        signals[WIN_RATE_LC.name] = span.verdicts
    return {(signal, version): labels for signal, counts in signals.items() for version, labels in counts.items()}


def days_of(log: ObservationLog, places: NDArray[np.int64]) -> float:
    """Return how long the traces on *places* took to come."""
    chosen = places[np.linspace(0, len(places) - 1, min(len(places), DATED)).astype(np.int64)]
    return span_of(micros_of([seen.timestamp for seen in log.locate(chosen.tolist())])) / timedelta(days=1)
