"""Explanations and baselines' laws, for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.table import Table

from monitor.cli.table import alarm_lines, moment
from monitor.cli.terminal import cell
from monitor.domain.alarm import shown_change
from monitor.domain.cohort import ALL
from monitor.domain.signal import SignalKind
from monitor.signals.table import SIGNALS

if TYPE_CHECKING:  # they come with SciPy, for which most commands need not wait
    from monitor.drift.explain import Example, Explanation, Margin
    from monitor.drift.summary import KindShare, SignalSummary

MAX_COHORTS = 10
MAX_KINDS = 12


def explanation_lines(told: Explanation) -> Iterator[str]:
    """Yield all that is known of an alarm, what was stored first and what the log says today after it."""
    alarm = told.stored.alarm
    yield told.sentence
    yield from alarm_lines(told.stored)
    if alarm.kind.tells_of_absence:
        yield (
            f"since {moment(alarm.onset_timestamp)}, told {moment(alarm.timestamp)}; {alarm.observations} traces before"
        )
    elif told.stored.trace_number is not None:
        yield (
            f"decided at trace {told.stored.trace_number} ({alarm.trace_id}), began about trace"
            f" {told.stored.onset_trace_number}; {alarm.observations} observations since the baseline"
        )
    if alarm.evidence_log is not None:
        yield f"evidence: {alarm.evidence_log:.2f} of what a stream's {alarm.severity} takes (log e / log A)"
    if told.recount is not None:
        yield f"folded again: {told.recount.note}"
    if told.margin is not None:
        yield from margin_lines(told.margin)
    scale, unit = shown_change(alarm.decomposition.unit if alarm.decomposition is not None else "")
    for part in told.cohorts[:MAX_COHORTS] if alarm.stream.cohort == ALL else ():
        yield (
            f"cohort {part.cohort}: {scale * part.contribution:+.3g} {unit} of the effect, by"
            f" {scale * part.effect:+.3g} {unit} in {part.observations} observations"
        )
    for move in told.kinds:
        yield f"asked of late: {move.of_late:.0%} {move.name}; in the baseline {move.usual:.0%}"
    for cause in told.causes:
        yield f"{cause.likelihood} cause: {cause.cause}: {cause.because}"
    for shift in told.shifts:
        yield f"at the same time, since {moment(shift.since)}: alarm {shift.alarm_id}: {shift.detail}"
    for example in told.examples:
        yield example_line(example)
    known = SIGNALS.get(alarm.stream.signal)
    if told.examples and known is not None and known.kind is SignalKind.ESTIMATE:
        yield "a trace that was judged stands for all that were not: its value may lie far outside 0 to 1"


def margin_lines(margin: Margin) -> Iterator[str]:
    """Yield what the change had to exceed, a line a part."""
    parts = {
        "the window's own error, by its standard errors": margin.error,
        "the least change that is told": margin.least,
        "tolerance": margin.tolerance,
        "half of what it wanders over time": margin.wander,
        f"twice what kinds of prompts wander, times the distance of the mix ({margin.distance:.2f})": margin.kinds,
        "what the recent prompts may do beyond what they let expect": margin.leaning,
    }
    scale, unit = shown_change(margin.unit)
    yield f"to be told, the change had to exceed {scale * margin.total:+.3g} {unit} at the decision:"
    for name, size in parts.items():
        yield f"  {scale * size:+.3g} {unit}: {name}"
    yield f"  staked there: {margin.stake:.0%}"


def example_line(example: Example) -> str:
    named = example.trace_id or f"place {example.place}"
    line = f"example {named}: {example.value:.4g}, expected {example.expected:.4g}"
    alike = [f"{row.trace_id or row.place} ({row.similarity:.0%} alike) {row.value:.4g}" for row in example.alike]
    return line + (f"; in the baseline {', '.join(alike)}" if alike else "")


def law_table(signals: Iterable[SignalSummary]) -> Table:
    table = Table("signal", "scorer", "observations", "mean", "expected from", "R2", "accepted", "wander", "by kind")
    for law in signals:
        row = (
            law.signal,
            law.scorer_version,
            str(law.observations),
            f"{law.mean:.4g} ± {law.standard_error:.2g} {law.unit}",
            law.uses,
            f"{law.r2:.2f}",
            f"+{law.tolerance_up:.3g} -{law.tolerance_down:.3g}",
            f"{law.wander:.2g}",
            f"{law.kind_wander:.2g}",
        )
        table.add_row(*map(cell, row))
    return table


def law_lines(signals: Iterable[SignalSummary], kinds: Iterable[KindShare]) -> Iterator[str]:
    """Yield which streams are not steady, which laws are of another window, and what was asked."""
    for law in signals:
        if law.unsteady:
            yield f"{law.signal} is unsteady or too little known, so it raises no alert, in: {', '.join(law.unsteady)}"
        if law.made_from == "first values":
            yield f"{law.signal} came after the window: its law is of its own first values, up to place {law.since}"
    for kind in list(kinds)[:MAX_KINDS]:
        yield f"asked: {kind.share:.1%} {kind.name}"
