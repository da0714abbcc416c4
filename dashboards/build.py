"""Write what is generated: the Grafana dashboard and docs/metrics.md.

`python -m dashboards.build` writes both; the tests hold them current.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from dashboards.panel import Panel, Row
from dashboards.panels import ROWS
from monitor.telemetry.declaration import Part, Series
from monitor.telemetry.series import SERIES

ROOT = Path(__file__).parent.parent
DASHBOARD = ROOT / "dashboards/grafana/rlhf-monitor.json"
METRICS_PAGE = ROOT / "docs/metrics.md"
UID = "rlhf-monitor"  # fixed, so links to the dashboard outlive a rebuild

_WIDTH = 24
_STREAMS = 'monitor_stream_mean{namespace=~"$namespace",job=~"$job"}'
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_PARTS: Mapping[Part, str] = {
    Part.WORKER: "Every process of `rlhf-monitor run` exports these; sum or take the maximum over processes.",
    Part.CONTROLLER: (
        "The leader alone exports these, `monitor_leader` excepted. Each is withdrawn where it has not been confirmed"
        " for 30 seconds (and `drift.fold_seconds`): PostgreSQL is away, or the leader hangs."
        " A number that is missing is unknown, never 0."
    ),
    Part.SERVING: "Exported by `rlhf-monitor serve-rewards`, with `monitor_scored_tokens_total` from above.",
}


def render_dashboard() -> str:
    dashboard = {
        "uid": UID,
        "title": "rlhf-monitor",
        "tags": ["rlhf-monitor"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {
            "list": [
                _datasource_variable(),
                _variable("namespace", of="monitor_leader"),
                _variable("job", of='monitor_leader{namespace=~"$namespace"}'),
                _variable("signal", of=_STREAMS),
                _variable("cohort", of=_STREAMS),
            ]
        },
        "annotations": {"list": []},
        "panels": list(_lay_out(ROWS)),
    }
    return json.dumps(dashboard, indent=2) + "\n"


def render_metrics_page() -> str:
    lines = [
        "# Metrics",
        "",
        "What the program exports on `/metrics`: how it does itself, and what it has found. Alerts and dashboard",
        "are made of these series; [deploy.md](deploy.md) tells how to bring them into Prometheus and Grafana.",
        "",
        "- Keep deployments apart by `namespace` and `job`, the labels that Prometheus adds. Rules and panels do.",
        "- Label values come from enums and settings. Only `cohort` comes from the traces' own labels: its number is",
        "  bounded by `ingest.max_cohorts`, and what cannot be seen in it is written as an escape.",
        "- `incident` is a number. The 1,000 newest open incidents are shown, with some series each.",
        "- Generated from `monitor/telemetry/series.py` and its `*_series.py` by `python -m dashboards.build`.",
    ]
    for part, note in _PARTS.items():
        lines += ["", f"## {part.value.capitalize()}", "", note, "", "| series | type | labels | unit | meaning |"]
        lines += ["|---|---|---|---|---|", *(_table_row(series) for series in SERIES if series.part is part)]
    return "\n".join(lines) + "\n"


def main() -> None:
    DASHBOARD.write_text(render_dashboard())
    METRICS_PAGE.write_text(render_metrics_page())


def _table_row(series: Series) -> str:
    labels = ", ".join(f"`{label}`" for label in series.labels)
    return f"| `{series.name}` | {series.kind} | {labels} | {series.unit} | {series.help} |"


def _lay_out(rows: tuple[Row, ...]) -> Iterator[dict[str, object]]:
    """Yield Grafana panels left to right, each row under its heading; ids count from 1."""
    number, y = 0, 0
    for row in rows:
        number += 1
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": _at(0, y)}
        x, y = 0, y + 1
        for panel in row.panels:
            if x + panel.width > _WIDTH:
                x, y = 0, y + panel.height
            number += 1
            yield _panel(panel, number, _at(x, y, panel.width, panel.height))
            x += panel.width
        y += row.panels[-1].height


def _at(x: int, y: int, width: int = _WIDTH, height: int = 1) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, number: int, position: dict[str, int]) -> dict[str, object]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": position,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _DATASOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "instant": panel.kind != "timeseries",
            }
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


_REDUCE = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
_OPTIONS: Mapping[str, object] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {**_REDUCE, "colorMode": "value", "graphMode": "area"},
    "bargauge": {**_REDUCE, "orientation": "horizontal", "displayMode": "basic", "showUnfilled": True},
}


def _defaults(panel: Panel) -> dict[str, object]:
    steps: list[dict[str, object]] = [{"color": "red" if panel.red_below is not None else "green", "value": None}]
    if panel.red_below is not None:
        steps.append({"color": "green", "value": panel.red_below})
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    custom: dict[str, object] = {}
    if panel.kind == "timeseries":
        custom = {
            "fillOpacity": 20 if panel.stacked else 0,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "line" if panel.red_from is not None else "off"},
        }
    bounds = {"min": 0, "max": 1} if panel.kind == "bargauge" else {}
    return {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}, "custom": custom, **bounds}


def _datasource_variable() -> dict[str, object]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(label: str, *, of: str) -> dict[str, object]:
    """Return a choice among the values that *label* has in the series *of*; "All" takes those without it too."""
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": f"label_values({of}, {label})", "refId": "A"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


if __name__ == "__main__":
    main()
