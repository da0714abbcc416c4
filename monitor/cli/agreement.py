"""`review agreement`: how far annotators agree, and what sways them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from monitor.cli.alarm import AsJson
from monitor.cli.open_desk import open_desk
from monitor.cli.terminal import cell, say, show_json, show_table

if TYPE_CHECKING:
    from monitor.labels.agreement import AgreementReport
    from monitor.stats.agreement import Agreement, Share, Turnover


def agreement(as_json: AsJson = False) -> None:
    """Show how far annotators agree, by criteria, week, dimension and annotator, and what holds training."""
    with open_desk() as desk:
        report = desk.agreement()
    if as_json:
        show_json(asdict(report))
    elif not report.lines:
        say("nobody has judged anything under a name yet")
    else:
        show_table(_agreement_table(report))
        if report.checks:
            show_table(_check_table(report))
        for line in _held_lines(report):
            say(line)


def _agreement_table(report: AgreementReport) -> Table:
    table = Table("kind", "by", "", "labels", "judged twice", "raw", "kappa", "alpha")
    for line in report.lines:
        items = "0" if line.raw is None else str(line.raw.items)
        measures = [_measure(found) for found in (line.raw, line.kappa, line.alpha)]
        table.add_row(*map(cell, (line.kind, line.by, line.name, str(line.ratings), items, *measures)))
    return table


def _check_table(report: AgreementReport) -> Table:
    table = Table("annotator", "chose what stood first", "agreed with gold")
    for check in report.checks:
        told = check.annotator_id or "all", _share(check.chose_first), _share(check.agreed_with_gold)
        table.add_row(*map(cell, told))
    return table


def _held_lines(report: AgreementReport) -> Iterator[str]:
    yield f"training looks at preferences by the criteria {report.criteria_version or 'of labels that state none'}"
    yield from _turnover_lines(report.turnover, "preferences")
    if report.refusals.current is not None:
        version = report.refusals.criteria_version or "of labels that state none"
        yield f"a refresh of the refusal model looks at labels of refusals by the criteria {version}"
    yield from _turnover_lines(report.refusals.turnover, "labels of refusals")


def _turnover_lines(turnover: Turnover | None, labels: str) -> Iterator[str]:
    if turnover is not None:
        yield (
            f"of {turnover.labels} {labels} of 30 days {turnover.joined:.0%} are by annotators who are new; of those"
            f" of the 30 days before {turnover.left:.0%} by annotators who gave none since"
        )


def _measure(found: Agreement | None) -> str:
    return "" if found is None else f"{found.value:.2f} [{found.lower:.2f}, {found.upper:.2f}]"


def _share(found: Share | None) -> str:
    return "" if found is None else f"{found.value:.0%} [{found.lower:.0%}, {found.upper:.0%}] of {found.count}"
