"""`winrate`: what people say of the answers, as rates with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from monitor.cli.alarm import AsJson
from monitor.cli.open_desk import open_desk
from monitor.cli.terminal import cell, say, show_json, show_table
from monitor.signals.estimand import WIN_RATE, WIN_RATE_LC

if TYPE_CHECKING:
    from monitor.labels.estimate import Bounds, Estimate, Span
    from monitor.labels.report import BlockCounts, LabelReport

Cohort = Annotated[str | None, typer.Option("--cohort", help="Only this one; * is all of them together.")]
PolicyModel = Annotated[str | None, typer.Option("--policy-model", help="Only this one.")]
SignalName = Annotated[str, typer.Option("--signal", help="win_rate, or another rate that labels tell.")]

WHY = {
    "not_selected": "the review queue did not draw their traces",
    "no_probability": "they state no inclusion_probability",
    "small_probability": "they state one below labels.least_probability",
    "other_criteria": "they were given by other criteria",
    "late": "their block was settled or dropped before they came",
    "block_dropped": "another label of their block never came",
    "not_eligible": "their traces are repeats, or have no reference response",
    "no_trace": "their traces are not stored",
    "user": "users gave them",
    "ai": "models gave them",
}


class Window(StrEnum):
    DAY = "day"
    WEEK = "week"
    RELEASE = "release"  # since the policy model was first seen


def winrate(
    signal: SignalName = WIN_RATE.name,
    *,
    window: Annotated[Window | None, typer.Option("--window", help="Only this one.")] = None,
    cohort: Cohort = None,
    policy_model: PolicyModel = None,
    as_json: AsJson = False,
) -> None:
    """Show how often people prefer the answer to its reference, by cohort, and how well that is known."""
    from monitor.errors import InvalidInput
    from monitor.signals.estimand import ESTIMANDS

    if signal not in ESTIMANDS:
        raise InvalidInput(f"--signal {signal}: labels do not tell it; name one of {', '.join(ESTIMANDS)}")
    with open_desk() as desk:
        found = desk.estimates(signal)
    reports = [report.only(window=window, cohort=cohort, policy_model=policy_model) for report in found]
    if as_json:
        show_json([asdict(report) for report in reports])
        return
    for report, whole in zip(reports, found, strict=True):
        if whole.estimates and not report.estimates:
            raise InvalidInput(_no_row(whole))
        if report.estimates:
            show_table(estimate_table(report.estimates))
        for line in report_lines(report, datetime.now(UTC)):
            say(line)


def _no_row(report: LabelReport) -> str:
    cohorts = ", ".join(sorted({row.cohort for row in report.estimates}))
    models = ", ".join(sorted({row.policy_model for row in report.estimates}))
    return f"no row is of that cohort, policy model and window; cohorts: {cohorts}; policy models: {models}"


def estimate_table(estimates: Iterable[Estimate]) -> Table:
    """Return a row an estimate, with the length-controlled one beside it."""
    whose = ("cohort", "policy model", "window", "traces", "labels")
    rows = list(estimates)
    several = len({row.criteria_version for row in rows}) > 1  # rows that would look the same but for these
    told = ("by model", "estimate", "95%", "anytime", "labels alone", "labels gained", "to halve it")
    table = Table(*whose, *told, "length-controlled", *(["criteria"] if several else []))
    controlled = {_key(row): row for row in rows if row.signal == WIN_RATE_LC.name}
    for row in rows:
        if row.signal == WIN_RATE_LC.name:
            continue
        lengthless = controlled.get(_key(row))
        gained = None if row.effective_labels is None else row.effective_labels - row.labels
        texts = (
            row.cohort,
            row.policy_model,
            window_text(row.span),
            str(row.traces),
            str(row.labels),
            "-" if row.opinion is None else f"{row.opinion:.1%}",
            (row.reason or "-") if row.estimate is None else f"{row.estimate:.1%}",
            _interval(row.bounds),
            _interval(row.anytime),
            _interval(row.classical),
            "-" if gained is None else f"{gained:+.0f}",
            "-" if row.labels_to_halve is None else f"{row.labels_to_halve} more",
            "-" if lengthless is None or lengthless.estimate is None else f"{lengthless.estimate:.1%}",
            *([row.criteria_version or "any"] if several else []),
        )
        table.add_row(*map(cell, texts))
    return table


def window_text(span: Span) -> str:
    """Return "week to 2026-11-21": days in UTC."""
    last = span.stop - timedelta(days=1)
    return f"{span.name} from {span.start}" if span.name == Window.RELEASE else f"{span.name} to {last}"


def report_lines(report: LabelReport, now: datetime) -> Iterator[str]:
    """Yield what there is to say of blocks and labels."""
    if not report.estimates:
        yield f"no {report.signal} yet: it takes blocks whose labels are all there, and {report.min_labels} labels"
    yield from block_lines(report.blocks, now)
    labels: Mapping[str, int] = {use.value: count for use, count in report.labels.items()}
    counted, waiting = labels.get("counted", 0), labels.get("waiting", 0)
    yield f"labels of the last seven days: {counted} count, {waiting} wait for the others of their blocks"
    for use, count in labels.items():
        if use in WHY:
            yield f"  {count} do not count: {WHY[use]}"
    if report.hint:
        yield report.hint


def block_lines(blocks: BlockCounts, now: datetime) -> Iterator[str]:
    if blocks.waiting:
        since = "" if blocks.waiting_since is None else f", the oldest for {_hours(now - blocks.waiting_since)}"
        yield f"blocks: {blocks.waiting} wait for labels{since}"
    if blocks.matured or blocks.dropped:
        lost = f"{blocks.dropped} dropped ({blocks.dropped_ratio:.0%}), since a label did not come"
        yield f"blocks of the last seven days: {blocks.matured} counted, {lost}"


def _key(row: Estimate) -> tuple[object, ...]:
    return row.cohort, row.policy_model, row.criteria_version, row.span


def _interval(bounds: Bounds | None) -> str:
    return "-" if bounds is None else f"[{100 * bounds.lower:.1f}, {100 * bounds.upper:.1f}]"


def _hours(wait: timedelta) -> str:
    hours = wait.total_seconds() / 3600.0
    return f"{hours / 24.0:.1f} days" if hours >= 48.0 else f"{hours:.1f} hours"
