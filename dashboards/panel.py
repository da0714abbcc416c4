"""What a panel of the Grafana dashboard is, and which series a panel selects."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    expression: str
    legend: str = "__auto"


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "short"  # Grafana's name of the unit
    kind: str = "timeseries"  # or "stat", "bargauge"
    width: int = 8  # of 24
    height: int = 8
    red_from: float | None = None  # a threshold is drawn here
    red_below: float | None = None
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


HERE = 'namespace=~"$namespace",job=~"$job"'
ALL = f"{{{HERE}}}"
PAGES = f'{{{HERE},severity="alert"}}'
STREAM = f'{{{HERE},signal=~"$signal",cohort=~"$cohort"}}'
SERVERS = '{namespace=~"$namespace"}'  # `serve-rewards` is a scrape job of its own


def stat(
    title: str,
    description: str,
    expression: str,
    *,
    unit: str = "short",
    red_from: float | None = None,
    red_below: float | None = None,
) -> Panel:
    query = (Query(expression),)
    return Panel(title, description, query, unit, "stat", 4, 4, red_from=red_from, red_below=red_below)
