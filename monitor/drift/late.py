"""The laws of what labels tell: each has a window of its own, since labels come days after their traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

from monitor.drift.baseline import Baseline, SignalBaseline
from monitor.drift.design import span_of
from monitor.drift.freeze import NullRule, build_signal_baseline
from monitor.drift.log import LabelLog, windows_of
from monitor.signals.estimand import ESTIMANDS, REWARD_ACCURACY, WIN_RATE, WIN_RATE_LC

# What counts a signal's labels: the series of the verdicts, or of the opinions that they are compared with.
COUNTED_BY: Mapping[str, str] = {
    **{estimand.name: estimand.labelled for estimand in ESTIMANDS.values()},
    **{estimand.rectifier: estimand.compared for estimand in ESTIMANDS.values()},
    WIN_RATE_LC.name: WIN_RATE.labelled,
    REWARD_ACCURACY.name: WIN_RATE.compared,
}


def labels_of(signal: str, version: str, counts: Mapping[tuple[str, str], int]) -> float:
    """Return how many labels stand behind a signal's values, given how many values each signal has.

    Length-controlled wins begin later than wins do, once it is known what length explains; they have their share.
    """
    labels = float(counts.get((COUNTED_BY[signal], version), 0))
    if signal == WIN_RATE_LC.name:
        labels *= min(counts[signal, version] / max(counts.get((WIN_RATE.name, version), 0), 1), 1.0)
    return labels


def late_laws(baseline: Baseline, log: LabelLog, rule: NullRule, *, least_labels: int) -> Iterator[SignalBaseline]:
    """Yield the laws that *baseline* lacks and labels are enough for, of traces since its window began.

    They are followed from the span's end on: what made a law is not bet on.
    """
    span = log.label_span(baseline.first_place)
    if span is None:
        return
    known = {law.key for law in baseline.signals}
    ready = {
        (signal, version)
        for signal, version in span.counts
        if signal in COUNTED_BY
        and (signal, version) not in known
        and labels_of(signal, version, span.counts) >= least_labels
    }
    if not ready:
        return
    names = {signal for signal, _ in ready}
    days = span_of(log.subjects(span.first_place, span.stop_place).timestamps) / timedelta(days=1)
    for window in windows_of(log.window(span.first_place, span.stop_place, names), names):
        if (window.signal, window.scorer_version) not in ready:
            continue
        law = build_signal_baseline(window, rule, None)
        if law is not None:
            yield replace(law, since=span.stop_place, days=days)
