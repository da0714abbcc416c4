"""What labels tell of the files of a backtest, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from monitor.cli.terminal import say, show_table

if TYPE_CHECKING:
    from monitor.labels.estimate import Bounds, Estimate
    from monitor.offline.estimate import LabelUses, WholePeriod


def show_period(period: WholePeriod) -> None:
    """Print a table a rate, and what became of the labels."""
    from monitor.cli.winrate import estimate_table
    from monitor.signals.estimand import ESTIMANDS, WIN_RATE, WIN_RATE_LC

    for name in ESTIMANDS:
        beside = {WIN_RATE_LC.name} if name == WIN_RATE.name else set()
        rows = [row for row in period.estimates if row.signal in {name, *beside}]
        if rows:
            say(f"{name}, as labels tell it:")
            show_table(estimate_table(rows))
    if not period.estimates:
        say("no estimate: no trace has a reference response, or an answer, that labels could be about")
    for line in _use_lines(period.uses):
        say(line)


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
