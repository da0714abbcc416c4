"""What a backtest found, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from monitor.cli.terminal import cell, complain, say, show_table

if TYPE_CHECKING:
    from monitor.domain.alarm import Alarm
    from monitor.drift.budget import Budget
    from monitor.labels.estimate import Bounds, Estimate
    from monitor.offline.backtest import BacktestResult
    from monitor.offline.estimate import LabelUses, WholePeriod


COLUMNS = ("rate", "cohort", "policy model", "traces", "labels", "estimate", "95%", "at any time", "labels alone")


def show_backtest(result: BacktestResult, shown: list[Alarm]) -> None:
    """Print what the labels tell, what the baseline expects, what was found, and what would have paged."""
    from monitor.cli.explanation import law_lines, law_table
    from monitor.cli.table import alarm_table, moment
    from monitor.drift.summary import kinds_of, summarise

    for unknown in result.unknown_keys:
        complain(unknown)
    if result.period is not None:
        _show_period(result.period)
    if result.baseline is None:
        return
    taken = result.baseline_traces
    say(f"baseline: the first {taken} traces; watched: {result.traces - taken}; repeats: {result.repeats}")
    laws = summarise(result.baseline)
    show_table(law_table(laws))
    for line in law_lines(laws, kinds_of(result.baseline)):
        say(line)
    if shown:
        show_table(alarm_table(shown))
    else:
        say("no alarm")
    for facts in result.incidents:
        if facts.paged_at is not None:
            say(f"a page at {moment(facts.paged_at)}: {facts.summary}")


def backtest_json(result: BacktestResult, alarms: list[tuple[Alarm, int]], budget: Budget) -> dict[str, Any]:
    from monitor.drift.summary import kinds_of, summarise
    from monitor.offline.score import plain_number

    run_length, baseline = budget.average_run_length, result.baseline
    laws = () if baseline is None else summarise(baseline)
    return {
        "traces": result.traces,
        "baseline": result.baseline_traces,
        "average_run_length": None if run_length is None else plain_number(run_length),
        "false_page_days": budget.false_page_days if run_length is None else None,
        "laws": [asdict(law) for law in laws],
        "asked": [] if baseline is None else [asdict(kind) for kind in kinds_of(baseline)],
        "unsteady": [{"signal": law.signal, "cohort": cohort} for law in laws for cohort in law.unsteady],
        "repeats": result.repeats,
        "estimates": [] if result.period is None else _estimates(result.period),
        "labels": None if result.period is None else asdict(result.period.uses),
        "pages": sum(facts.paged_at is not None for facts in result.incidents),
        "incidents": [asdict(facts) for facts in result.incidents],
        "alarms": [_alarm(alarm, read) for alarm, read in alarms],
    }


def _alarm(alarm: Alarm, traces_read: int) -> dict[str, Any]:
    return {
        "signal": alarm.stream.signal,
        "cohort": alarm.stream.cohort,
        "policy_model": alarm.stream.policy_model,
        "kind": alarm.kind.value,
        "direction": alarm.direction,
        "severity": alarm.severity.value,
        "trace_index": alarm.place,
        "traces_read": traces_read,
        "trace_id": alarm.trace_id,
        "timestamp": alarm.timestamp.isoformat(),
        "onset_index": alarm.onset_place,
        "onset_timestamp": alarm.onset_timestamp.isoformat(),
        "observations": alarm.observations,
        "effect": None if alarm.effect is None else asdict(alarm.effect),
        "decomposition": None if alarm.decomposition is None else asdict(alarm.decomposition),
        "detail": alarm.detail,
        "examples": list(alarm.examples),
    }


def _show_period(period: WholePeriod) -> None:
    """Print a row an estimate, and what became of the labels."""
    table = Table(*COLUMNS, "worth labels")
    for row in period.estimates:
        told = "-" if row.estimate is None else f"{row.estimate:.1%}"
        worth = "-" if row.effective_labels is None else f"{row.effective_labels:.0f}"
        bounds = map(_percent, (row.bounds, row.anytime, row.classical))
        texts = (row.signal, row.cohort, row.policy_model, str(row.traces), str(row.labels), told, *bounds, worth)
        table.add_row(*map(cell, texts))
    if period.estimates:
        show_table(table)
    else:
        say("no estimate: no trace has a reference response that labels could compare its answer with")
    for reason in dict.fromkeys(row.reason for row in period.estimates if row.reason is not None):
        say(f"no number: {reason}")
    for line in _use_lines(period.uses):
        say(line)


def _percent(bounds: Bounds | None) -> str:
    return "-" if bounds is None else f"[{100 * bounds.lower:.1f}, {100 * bounds.upper:.1f}]"


def _use_lines(uses: LabelUses) -> Iterator[str]:
    yield f"labels: {uses.read} read, {uses.counted} count"
    reasons = {
        "they are of no trace in these files": uses.of_no_trace,
        "users or models gave them": uses.of_nobody,
        "they state no inclusion_probability, or a tiny one": uses.unstated,
        "their traces are repeats, lack a reference response, or lie where nobody labels": uses.left,
    }
    for reason, count in reasons.items():
        if count:
            yield f"  {count} do not count: {reason}"


def _estimates(period: WholePeriod) -> list[dict[str, Any]]:
    """Return a row an estimate, with null for what cannot be told."""
    return [_row(row, period) for row in period.estimates]


def _row(row: Estimate, period: WholePeriod) -> dict[str, Any]:
    def ends(name: str, bounds: Bounds | None) -> dict[str, float | None]:
        lower, upper = (None, None) if bounds is None else (bounds.lower, bounds.upper)
        return {f"{name}lower": lower, f"{name}upper": upper}

    return {
        "signal": row.signal,
        "cohort": row.cohort,
        "policy_model": row.policy_model,
        "criteria_version": row.criteria_version or None,
        "from": period.start.isoformat(),
        "to": period.stop.isoformat(),
        "traces": row.traces,
        "labels": row.labels,
        "estimate": row.estimate,
        **ends("", row.bounds),
        **ends("anytime_", row.anytime),
        **ends("classical_", row.classical),
        "effective_labels": row.effective_labels,
        "labels_to_halve": row.labels_to_halve,
        "reason": row.reason,
    }
