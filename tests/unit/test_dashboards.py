"""The dashboard, the rules, the alerts and their runbooks agree with the metrics and with each other."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import CollectorRegistry
from starlette.routing import Match

from dashboards import build
from monitor.app.doctor import http as prometheus
from monitor.telemetry.declaration import Kind
from monitor.telemetry.health import Health
from monitor.telemetry.series import SERIES
from monitor.web.app import create_app
from tests.unit.in_memory_ports import InMemoryMonitor

FOLDER = build.ROOT / "dashboards"
ALERTS = FOLDER / "alerts/alerts.yaml"
RECORDING = FOLDER / "rules/recording.yaml"
ALERT_TESTS = sorted((FOLDER / "tests").glob("*.yaml"))
HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")


def rules(path: Path) -> list[dict[str, str]]:
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


DASHBOARDS = {path.name: json.loads(path.read_text()) for path in sorted(build.DASHBOARDS.glob("*.json"))}
PANELS = {
    f"{name}: {panel['title']}": panel
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
}
UNITS = {series.name: series.unit for series in SERIES}


def test_doctor_looks_for_the_rules_and_alerts_that_come_with_this_release() -> None:
    assert {rule["alert"] for rule in rules(ALERTS)} == prometheus.ALERTS
    assert {rule["record"] for rule in rules(RECORDING)} == prometheus.RECORDS


def expressions_of(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def dashboard_expressions() -> list[str]:
    marks = [mark["expr"] for dashboard in DASHBOARDS.values() for mark in dashboard["annotations"]["list"]]
    return [*sorted(set(marks)), *(expression for panel in PANELS.values() for expression in expressions_of(panel))]


def names_in(expressions: list[str], prefix: str) -> set[str]:
    return {name for expression in expressions for name in re.findall(rf"\b{prefix}[a-z0-9_:]+", expression)}


def queries_of(alert: dict[str, Any]) -> list[str]:
    """Return what the annotations of *alert* look up, the labels' places as they stand."""
    return [
        query for text in alert["annotations"].values() for query in re.findall(r'printf "([^"]*monitor[^"]*)"', text)
    ]


def name_of(rule: dict[str, str]) -> str:
    return rule.get("alert") or rule["record"]


ALL_RULES = [*rules(ALERTS), *rules(RECORDING)]
LOOKED_UP = [query for rule in rules(ALERTS) for query in queries_of(rule)]
EXPRESSIONS = [rule["expr"] for rule in ALL_RULES] + LOOKED_UP + dashboard_expressions()
SCENES = [scene for path in ALERT_TESTS for scene in yaml.safe_load(path.read_text())["tests"]]
ALERT_NAMES = [rule["alert"] for rule in rules(ALERTS)]


def exported_names() -> set[str]:
    names = set()
    for series in SERIES:
        suffixes = HISTOGRAM_SUFFIXES if series.kind is Kind.HISTOGRAM else ("",)
        names |= {series.name + suffix for suffix in suffixes}
    return names


def test_what_is_generated_is_current() -> None:
    stale = "run python -m dashboards.build"
    assert {path.name: path.read_text() for path in build.DASHBOARDS.iterdir()} == build.render_dashboards(), stale
    assert build.METRICS_PAGE.read_text() == build.render_metrics_page(), stale


def test_every_metric_is_in_the_dashboard_or_a_rule() -> None:
    chosen = [json.dumps(dashboard["templating"]) for dashboard in DASHBOARDS.values()]
    used = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names_in([*EXPRESSIONS, *chosen], "monitor_")}
    assert {series.name for series in SERIES} - used == set()


def test_every_metric_named_in_the_dashboard_or_a_rule_exists() -> None:
    assert names_in(EXPRESSIONS, "monitor_") - exported_names() == set()


def test_every_recorded_series_is_used_and_every_used_one_is_recorded() -> None:
    assert names_in(EXPRESSIONS, "monitor:") == {rule["record"] for rule in rules(RECORDING)}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {path.stem for path in (FOLDER / "runbooks").glob("*.md")} == set(ALERT_NAMES)


@pytest.mark.parametrize("alert", rules(ALERTS), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_where_to_read_on(alert: dict[str, dict[str, str]]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"]["summary"].endswith(".")
    assert alert["annotations"]["description"]
    runbook = build.ROOT / alert["annotations"]["runbook_url"]
    assert runbook == FOLDER / "runbooks" / f"{alert['alert']}.md"
    means, _, do = runbook.read_text().partition("\n\n## What to do\n\n")
    assert means.startswith(f"# {alert['alert']}\n\n## What it means\n\n")
    assert "`" in do, "a runbook names the command, the setting or the panel"


@pytest.mark.parametrize("expression", [rule["expr"] for rule in ALL_RULES], ids=[name_of(rule) for rule in ALL_RULES])
def test_a_rule_keeps_deployments_apart(expression: str) -> None:
    selected = re.findall(r"\b(?:monitor[_:][a-z0-9_:]+|up)\b(?!\()(\{[^}]*job=\"rlhf-monitor\"[^}]*\})?", expression)
    assert selected
    assert all(selected), "every series is taken of one scrape job, which the chart replaces by its own"
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
    assert all(labels.startswith("namespace, job") for labels in grouped)


@pytest.mark.parametrize("query", sorted(set(LOOKED_UP)))
def test_an_annotation_looks_up_its_own_deployment_alone(query: str) -> None:
    assert re.search(r"monitor[_:][a-z_:]+\{namespace=%q,job=%q[,}]", query)


def test_alerts_of_incidents_say_what_moved_where_and_since_when_and_lead_to_the_console() -> None:
    carried = {name_of(alert): set(alert["annotations"]) for alert in rules(ALERTS)}
    known = {"signal", "cohort", "direction", "effect", "onset", "link", "runbook_url"}
    assert known <= carried["RlhfMonitorDriftAlarm"]
    assert known <= carried["RlhfMonitorIncidentWarning"]
    assert {"cohort", "onset", "link", "runbook_url"} <= carried["RlhfMonitorSilence"]


@pytest.mark.parametrize("expression", sorted(set(dashboard_expressions())))
def test_a_panel_shows_the_deployments_that_were_chosen(expression: str) -> None:
    selected = re.findall(r"\b(?:monitor[_:][a-z0-9_:]+|ALERTS)(\{namespace=~\"\$namespace\"[^}]*\})?", expression)
    assert selected
    assert all(selected)


@pytest.mark.parametrize("name", ALERT_NAMES)
def test_an_alert_is_tried_for_firing_and_for_silence(name: str) -> None:
    tries = [case for scene in SCENES for case in scene["alert_rule_test"] if case["alertname"] == name]
    assert {bool(case.get("exp_alerts")) for case in tries} == {True, False}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    panels = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_dashboards_have_addresses_of_their_own_and_lead_to_each_other() -> None:
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS) == 5
    for dashboard in DASHBOARDS.values():
        [others] = [link for link in dashboard["links"] if link["type"] == "dashboards"]
        assert set(others["tags"]) <= set(dashboard["tags"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_offers_every_choice_that_it_makes_use_of(name: str) -> None:
    text = json.dumps(DASHBOARDS[name])
    used = set(re.findall(r"\$\{?([a-z]+)\b", text)) | set(re.findall(r'"repeat": "([a-z]+)"', text))
    assert {choice["name"] for choice in DASHBOARDS[name]["templating"]["list"]} == used


def units_of(expression: str) -> set[str]:
    """Return in what units *expression* answers: of its series, or a second, or a time since."""
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names_in([expression], "monitor_")}
    if {"monitor_stream_sum_total", "monitor_stream_observations_total"} <= names:
        names = {"monitor_stream_sum_total"}
    how = "rate" if "rate(" in expression and "_sum" not in expression and "quantile" not in expression else ""
    return {f"{UNITS[name]} {how}".strip() for name in names if name in UNITS}


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_holds_one_unit(title: str) -> None:
    panel = PANELS[title]
    units = {unit for expression in expressions_of(panel) for unit in units_of(expression)}
    if panel["type"] == "table":  # a line for each series, with its unit beside the number
        return
    assert len(units) <= 1
    if units & {"the signal's own", "see the label", "requests or tokens"}:
        one = panel.get("repeat") == "signal" or all(
            re.search(r'(signal|unit)="[a-z_]+"', expression) for expression in expressions_of(panel)
        )
        assert one, "which unit it is depends on a label: a panel for each"


def test_a_panel_for_a_signal_shows_it_in_its_unit() -> None:
    panel = PANELS["drift.json: $signal"]
    assert panel["repeat"] == "signal"
    shown = {item["matcher"]["options"]: item["properties"][0]["value"] for item in panel["fieldConfig"]["overrides"]}
    assert shown["/\\(ratio\\)$/"] == "percentunit"
    assert all(target["legendFormat"].endswith("({{unit}})") for target in panel["targets"])


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_relies_on_nothing_that_grafana_adds(title: str) -> None:
    """It shows values from 80 on in red where a panel has no limits of its own, and puts a blank before a suffix."""
    panel = PANELS[title]
    coloured = panel["type"] == "bargauge" or panel.get("options", {}).get("colorMode", "none") != "none"
    assert not coloured or "thresholds" in panel["fieldConfig"]["defaults"]
    assert '"suffix: ' not in json.dumps(panel)


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_leads_to_runbooks_that_are_there(title: str) -> None:
    for link in PANELS[title].get("links", []):
        if link["title"].startswith("Runbook: "):
            name = link["title"].removeprefix("Runbook: ")
            assert link["url"] == f"${{runbooks:raw}}/{name}.md"
            assert name in ALERT_NAMES


def test_every_alert_but_those_of_all_is_linked_from_a_panel_of_what_it_is_about() -> None:
    linked = {link["title"].removeprefix("Runbook: ") for panel in PANELS.values() for link in panel.get("links", [])}
    assert set(ALERT_NAMES) - linked == {"RlhfMonitorDown"}, "where nothing is scraped no panel shows anything"


def test_links_to_the_console_lead_to_pages_that_it_has() -> None:
    app = create_app(InMemoryMonitor().ports(), health=Health([]), registry=CollectorRegistry(), tokens={})
    led = {
        re.sub(r"\?.*", "", path).replace("${__value.raw}", "7")
        for path in re.findall(r"\$\{console:raw\}([^\"]*)", json.dumps(DASHBOARDS))
    }
    assert {"", "/incidents/7", "/streams", "/jobs", "/models", "/review"} <= led
    for path in led:
        scope = {"type": "http", "method": "GET", "path": path or "/"}
        assert any(route.matches(scope)[0] is Match.FULL for route in app.routes), path


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafana_s_own_types_read_a_dashboard_without_loss(name: str) -> None:
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARDS[name])))
    for mark, written in zip(
        read["annotations"]["list"], DASHBOARDS[name]["annotations"]["list"], strict=True
    ):  # the SDK knows marks at a query's own time alone; Grafana reads what stands there besides
        mark |= {key: written[key] for key in ("useValueForTime", "titleFormat", "textFormat", "tagKeys", "step")}
    assert read == DASHBOARDS[name]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["check", "rules", str(RECORDING), str(ALERTS)], id="the rules are valid"),
        pytest.param(["test", "rules", *map(str, ALERT_TESTS)], id="each alert fires on its fault and not without it"),
    ],
)
def test_prometheus_accepts_the_rules(arguments: list[str]) -> None:
    if shutil.which("promtool") is None and os.environ.get("CI") != "true":
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_can_parse_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    if shutil.which("promtool") is None and os.environ.get("CI") != "true":
        pytest.skip("promtool is not installed: apt-get install prometheus")
    texts = (text.replace("$__rate_interval", "5m").replace("$window", "5m") for text in dashboard_expressions())
    recorded = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(texts)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
