"""What labels tell of the files of a backtest, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table

from monitor.cli.terminal import cell, say, show_table

if TYPE_CHECKING:
    from monitor.labels.estimate import Bounds, Estimate
    from monitor.offline.estimate import LabelUses, WholePeriod


COLUMNS = ("rate", "cohort", "policy model", "traces", "labels", "estimate", "95%", "at any time", "labels alone")


def show_period(period: WholePeriod) -> None:
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


def period_json(period: WholePeriod) -> list[dict[str, Any]]:
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
