"""How panels look here: Grafana's own builders, with what all of ours have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
RATE = "$__rate_interval"  # what Grafana makes of the time between two scrapes

HERE = 'namespace=~"$namespace",job=~"$job"'
ALL = f"{{{HERE}}}"
STREAM = f'{HERE},signal=~"$signal",cohort=~"$cohort"'
SERVERS = '{namespace=~"$namespace"}'  # `serve-rewards` is a scrape job of its own

CONSOLE = "${console:raw}"  # `web.public_url`, as the program itself exports it
RUNBOOKS = "${runbooks:raw}"
PER_SECOND = "suffix:/s"  # Grafana puts a blank before it

_DASHED = models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]})

Panels = Sequence[Builder[models.Panel]]
Graph = TypeVar("Graph", timeseries.Panel, stat.Panel, bargauge.Panel, table.Panel)


def query(expression: str, legend: str = "__auto") -> prometheus.Dataquery:
    """Return a query whose series are named by *legend*."""
    return prometheus.Dataquery().expr(expression).legend_format(legend).datasource(SOURCE)


def lines(
    title: str, description: str, *queries: prometheus.Dataquery, unit: str = units.Short, width: int = 8
) -> timeseries.Panel:
    """Return values over time."""
    panel = timeseries.Panel().legend(
        common.VizLegendOptions()
        .display_mode(looks.LegendDisplayMode.LIST)
        .placement(looks.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel.tooltip(
        common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING)
    ).fill_opacity(0)
    framed = _framed(panel, title, description, unit=unit, width=width, height=8)
    for number, asked in enumerate(queries):
        framed.with_target(asked.range().ref_id(_ref(number)))
    return framed


def number(title: str, description: str, expression: str, *, unit: str = units.Short, width: int = 4) -> stat.Panel:
    """Return one number of now, in no colour: Grafana's own thresholds would show any from 80 on in red."""
    panel = stat.Panel().reduce_options(_last()).color_mode(looks.BigValueColorMode.NONE)
    framed = _framed(panel, title, description, unit=unit, width=width, height=4)
    return framed.with_target(query(expression).instant().ref_id(_ref(0)))


def bars(title: str, description: str, asked: prometheus.Dataquery, *, width: int = 12) -> bargauge.Panel:
    """Return shares of one, now."""
    panel = bargauge.Panel().reduce_options(_last()).orientation(looks.VizOrientation.HORIZONTAL)
    # An empty rest would reach into the place of the number, and a full bar look like four fifths.
    panel.display_mode(looks.BarGaugeDisplayMode.BASIC).show_unfilled(False).min(0).max(1)
    framed = _framed(panel, title, description, unit=units.Short, width=width, height=8)
    return framed.with_target(asked.instant().ref_id(_ref(0)))


def rows(
    title: str, description: str, expression: str, *, value: str | None, first: Sequence[str], width: int = 12
) -> table.Panel:
    """Return a line for each series of now: its labels, and its value under the heading *value* unless that is None.

    The columns *first* stand first, with "Value" for the value's, then the other labels by name.
    """
    hidden = {"Time": True, "__name__": True, "alertstate": True, "Value": value is None}
    renamed = {} if value is None else {"Value": value}
    order = {name: place for place, name in enumerate(first)}
    options = {"excludeByName": hidden, "renameByName": renamed, "indexByName": order}
    panel = table.Panel().min_width(60)  # unless said, 150: columns on the right would be out of sight
    framed = _framed(panel, title, description, unit=units.Short, width=width, height=8)
    framed.with_target(query(expression).instant().format(PromQueryFormat.TABLE).ref_id(_ref(0)))
    return framed.with_transformation(models.DataTransformerConfig(id_val="organize", options=options))


def red_from(panel: Graph, limit: float) -> Graph:
    """Show values from *limit* on in red, with a line where there is an axis."""
    if isinstance(panel, timeseries.Panel):
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.LINE))
    if isinstance(panel, stat.Panel):
        panel.color_mode(looks.BigValueColorMode.VALUE)
    return panel.thresholds(_steps(("green", None), ("red", limit)))


def red_below(panel: stat.Panel, limit: float) -> stat.Panel:
    return panel.color_mode(looks.BigValueColorMode.VALUE).thresholds(_steps(("red", None), ("green", limit)))


def listed(panel: timeseries.Panel) -> timeseries.Panel:
    """Name the series beside the graph: below it, many of them would leave it no height."""
    legend = common.VizLegendOptions().display_mode(looks.LegendDisplayMode.LIST)
    return panel.legend(legend.placement(looks.LegendPlacement.RIGHT).show_legend(True))


def bounds_dashed(panel: timeseries.Panel) -> timeseries.Panel:
    """Tell the edges of intervals from what lies between them."""
    return panel.override_by_regexp(
        "/(lower|upper)/", [_DASHED, models.DynamicConfigValue("custom.showPoints", "never")]
    )


def baseline_behind(panel: timeseries.Panel) -> timeseries.Panel:
    """Show the baseline in grey, its bounds dashed and without a name of their own."""
    grey = models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "text"})
    unnamed = models.DynamicConfigValue("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False})
    panel.override_by_regexp("/ baseline /", [grey, models.DynamicConfigValue("custom.showPoints", "never")])
    return panel.override_by_regexp("/ baseline (lower|upper) /", [_DASHED, unnamed])


def yes_or_no(panel: timeseries.Panel) -> timeseries.Panel:
    return panel.min(0).max(1)


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    return panel.fill_opacity(20).stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))


def by_unit(panel: timeseries.Panel) -> timeseries.Panel:
    """Show each series in the unit that its name ends with, in brackets."""
    for name, unit in (("ratio", units.PercentUnit), ("ms", units.Milliseconds), ("tokens", "suffix:tokens")):
        panel.override_by_regexp(rf"/\({name}\)$/", [models.DynamicConfigValue("unit", unit)])
    return panel


def runbook(alert: str) -> builders.DashboardLink:
    """Return a link to the runbook of *alert*."""
    return link(f"Runbook: {alert}", f"{RUNBOOKS}/{alert}.md")


def link(title: str, address: str) -> builders.DashboardLink:
    built = builders.DashboardLink(title).type(models.DashboardLinkType.LINK).url(address)
    return built.target_blank(True)


def rows_to_streams(panel: table.Panel) -> table.Panel:
    """Let the column `signal` lead to each row's stream in the console; the rows have a cohort."""
    signal, cohort = (f"${{__data.fields.{name}:percentencode}}" for name in ("signal", "cohort"))
    address = f"{CONSOLE}/streams?signal={signal}&cohort={cohort}"
    page = {"title": "The stream in the console", "url": address, "targetBlank": True}
    return panel.override_by_name("signal", [models.DynamicConfigValue("links", [page])])


def to_stream(panel: Graph, *, signal: str = "${__field.labels.signal:percentencode}") -> Graph:
    """Let a click on a value lead to its stream's page in the console."""
    cohort, model = (f"${{__field.labels.{name}:percentencode}}" for name in ("cohort", "model"))
    address = f"{CONSOLE}/streams?signal={signal}&cohort={cohort}&model={model}"
    return panel.data_links([link("The stream in the console", address)])


def _framed(panel: Graph, title: str, description: str, *, unit: str, width: int, height: int) -> Graph:
    return panel.title(title).description(description).datasource(SOURCE).unit(unit).span(width).height(height)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _steps(*steps: tuple[str, float | None]) -> builders.ThresholdsConfig:
    built = [models.Threshold(color=color, value=value) for color, value in steps]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(built)


def _ref(number: int) -> str:
    return chr(ord("A") + number)
