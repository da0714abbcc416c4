"""Baselines for people at a terminal: those there were, and what the next one would change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.table import Table

from monitor.cli.table import moment
from monitor.cli.terminal import cell
from monitor.domain.view import BaselineSummary

if TYPE_CHECKING:
    from monitor.drift.preview import FreezePreview, LawChange
    from monitor.drift.summary import SignalSummary


def baseline_table(rows: Iterable[BaselineSummary]) -> Table:
    table = Table("id", "is", "frozen", "by", "first trace", "traces", "note")
    for row in rows:
        state = "active" if row.active else ""
        numbers = str(row.first_trace), str(row.traces)
        made = moment(row.created_at), row.created_by
        table.add_row(*map(cell, (str(row.baseline_id), state, *made, *numbers, row.note)))
    return table


def law_change_table(changes: Iterable[LawChange]) -> Table:
    table = Table("signal", "scorer", "mean now", "mean then", "observations now", "then", "")
    for change in changes:
        now, then = change.before, change.after
        told = "comes later" if change.comes_later else "new" if now is None else "goes" if then is None else ""
        counts = (str(law.observations) if law is not None else "-" for law in (now, then))
        table.add_row(*map(cell, (change.signal, change.scorer_version, _mean(now), _mean(then), *counts, told)))
    return table


def preview_lines(seen: FreezePreview) -> Iterator[str]:
    """Yield what else would change."""
    former = "there is none yet" if seen.instead_of is None else f"baseline {seen.instead_of}"
    yield f"the traces {seen.first_trace} to {seen.stop_trace - 1} would be the baseline, in place of: {former}"
    if seen.cohorts_added:
        yield f"watched from then on: {', '.join(seen.cohorts_added)}"
    if seen.cohorts_lost:
        yield f"watched no more: {', '.join(seen.cohorts_lost)}"
    yield f"live alarms that would be superseded: {seen.alarms_superseded}; all evidence would begin again"


def _mean(law: SignalSummary | None) -> str:
    return "-" if law is None else f"{law.mean:.4g} ± {law.standard_error:.2g} {law.unit}"
