"""What every dashboard has around its panels: choices, marks and ways to the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dashboards.panel import ALL, CONSOLE, RUNBOOKS, SOURCE, Panels, link

TAG = "rlhf-monitor"
RUNBOOK_FOLDER = "dashboards/runbooks"  # in the repository; `dashboards.fitted` and the chart put an address there
EVERYTHING = models.VariableOption(text="All", value="$__all")
ALL_TRAFFIC = models.VariableOption(text=["*"], value=["*"])
WINDOWS = ("5m", "15m", "1h", "6h", "1d")

Rows = Mapping[str, Panels]  # panels by the heading they stand under; "" for none


class Mark(models.AnnotationQuery):
    """An annotation whose query answers when it was, in milliseconds; the SDK knows marks at a query's own time."""

    def __init__(self, name: str, expression: str, *, title: str, text: str, tags: str, color: str) -> None:
        super().__init__(name=name, datasource=SOURCE, enable=True, hide=False, icon_color=color, expr=expression)
        self._texts = {"titleFormat": title, "textFormat": text, "tagKeys": tags}

    def to_json(self) -> dict[str, object]:
        return super().to_json() | self._texts | {"useValueForTime": True, "step": "60s"}


class _Made(Builder[models.AnnotationQuery]):
    def __init__(self, mark: Mark) -> None:
        self._mark = mark

    def build(self) -> models.AnnotationQuery:
        return self._mark


_WHICH = "namespace, job, incident"
# One that tells each: for a moment, as one process takes the lead after another, there are two.
_TOLD = (
    f"topk by ({_WHICH}) (1, count by ({_WHICH}, signal, cohort, direction) (monitor_incident_effect{ALL})) > bool 0"
)
ALARMS = Mark(
    "Alarms",
    f"1000 * max by ({_WHICH}) (monitor_incident_onset_timestamp_seconds{ALL})"
    f" * on ({_WHICH}) group_left (signal, cohort, direction) ({_TOLD})",
    title="Incident {{incident}} began",
    text="{{signal}} {{direction}} in {{cohort}}",
    tags="signal,cohort",
    color="red",
)
PROMOTIONS = Mark(
    "Promotions",
    f"1000 * max by (namespace, job, role) (monitor_promotion_timestamp_seconds{ALL})",
    title="Another {{role}} model",
    text="Promoted, or rolled back, in {{namespace}} {{job}}",
    tags="role",
    color="blue",
)


def render(uid: str, title: str, description: str, rows: Rows) -> str:
    """Return the dashboard as Grafana reads it, with the choices that its panels make use of."""
    built = (
        builders.Dashboard(f"rlhf-monitor: {title}")
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("utc")
        .time("now-6h", "now")
        .refresh("30s")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .annotations([_Made(ALARMS), _Made(PROMOTIONS)])
        .links([_others(), link("Console", CONSOLE), link("Runbooks", RUNBOOKS)])
    )
    for heading, panels in rows.items():
        if heading:
            built.with_row(builders.Row(heading))
        for panel in panels:
            built.with_panel(panel)
    dashboard = built.build()
    for place, panel_or_row in enumerate(dashboard.panels or []):
        panel_or_row.id_val = place + 1
    asked = JSONEncoder().encode(dashboard)
    names = [
        name for name in _CHOICES if f"${name}" in asked or f"${{{name}" in asked or f'"repeat": "{name}"' in asked
    ]
    dashboard.templating.list_val = [_CHOICES[name]().build() for name in names]
    return json.dumps(json.loads(JSONEncoder().encode(dashboard)), indent=2, sort_keys=True) + "\n"


def _others() -> builders.DashboardLink:
    return (
        builders.DashboardLink("Dashboards")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
    )


def _label(name: str, of: str, *, first: models.VariableOption = EVERYTHING, label: str = "") -> Any:
    """Return a choice among the values that the label *name* has in *of*; "All" takes those without it too."""
    return (
        builders.QueryVariable(name)
        .label(label or name.capitalize())
        .datasource(SOURCE)
        .query({"query": f"label_values({of}, {name})", "refId": "A"})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(first)
    )


def _console() -> builders.QueryVariable:
    """The first address that the chosen deployments say; empty where `web.public_url` is not set."""
    found: dict[str, object] = {"query": f"label_values(monitor_console_info{ALL}, url)", "refId": "A"}
    hidden = builders.QueryVariable("console").hide(models.VariableHide.HIDE_VARIABLE).datasource(SOURCE)
    return hidden.query(found).refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)


def _window() -> builders.IntervalVariable:
    options = [models.VariableOption(text=name, value=name, selected=name == WINDOWS[1]) for name in WINDOWS]
    chosen = builders.IntervalVariable("window").label("Means over").values(",".join(WINDOWS)).options(options)
    return chosen.current(models.VariableOption(text=WINDOWS[1], value=WINDOWS[1]))


def _runbooks() -> builders.ConstantVariable:
    return builders.ConstantVariable("runbooks").value(RUNBOOK_FOLDER)


_STREAMS = f"monitor_stream_mean{ALL}"
_CHOICES: Mapping[str, Callable[[], Builder[models.VariableModel]]] = {
    "datasource": lambda: builders.DatasourceVariable("datasource").label("Data source").type("prometheus"),
    "namespace": lambda: _label("namespace", "monitor_leader"),
    "job": lambda: _label("job", 'monitor_leader{namespace=~"$namespace"}'),
    "model": lambda: _label("model", f"monitor_stream_observations_total{ALL}"),
    "signal": lambda: _label("signal", _STREAMS),
    "cohort": lambda: _label("cohort", _STREAMS, first=ALL_TRAFFIC),
    "window": _window,
    "console": _console,
    "runbooks": _runbooks,
}
