"""Prometheus, asked over HTTP: it scrapes this release, and has the rules and alerts that come with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from monitor.domain.checkup import Finding, fail, ok, warn

PATIENCE_SECONDS = 10.0
ALERTS = frozenset(
    {
        "RlhfMonitorAnchorOld",
        "RlhfMonitorAnnouncementWaits",
        "RlhfMonitorApprovalWaits",
        "RlhfMonitorBakeAsks",
        "RlhfMonitorDeadLetters",
        "RlhfMonitorDependencyDown",
        "RlhfMonitorDown",
        "RlhfMonitorDriftAlarm",
        "RlhfMonitorFoldStalled",
        "RlhfMonitorGpuHoursSpent",
        "RlhfMonitorIncidentWarning",
        "RlhfMonitorJobFailed",
        "RlhfMonitorJobFailedGate",
        "RlhfMonitorLabelBlocksDropped",
        "RlhfMonitorLabelsLate",
        "RlhfMonitorLagGrowing",
        "RlhfMonitorLogReplaced",
        "RlhfMonitorLostRecords",
        "RlhfMonitorNoLeader",
        "RlhfMonitorNoTraces",
        "RlhfMonitorNotIngesting",
        "RlhfMonitorNotificationsFail",
        "RlhfMonitorPartNotReady",
        "RlhfMonitorPlacementBlocked",
        "RlhfMonitorProbesUnanswered",
        "RlhfMonitorPromptsNotEmbedded",
        "RlhfMonitorReferenceAway",
        "RlhfMonitorReferenceBudgetSpent",
        "RlhfMonitorSilence",
    }
)
RECORDS = frozenset(
    {
        "monitor:incident_effect:remembered",
        "monitor:incident_members:remembered",
        "monitor:invalid_traces:ratio15m",
        "monitor:kafka_lag:sum",
    }
)
_FILES = {"recording rules": "rules/recording.yaml", "alerts": "alerts/alerts.yaml"}


def check_prometheus(url: str) -> Iterator[Finding]:
    """Yield what the Prometheus at *url* knows of the monitor; who asks it is told by *url* alone, and never shown."""
    parts = urlsplit(url)
    about = f"Prometheus {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
    with httpx.Client(timeout=PATIENCE_SECONDS, follow_redirects=True) as client:

        def ask(path: str, **params: str) -> Any:
            answer = client.get(f"{url.rstrip('/')}/api/v1/{path}", params=params)
            answer.raise_for_status()
            return answer.json()["data"]

        try:
            version = ask("status/buildinfo")["version"]
            running = ask("query", query="monitor_build_info")["result"]
            groups = ask("rules")["groups"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            told = type(error).__name__ if parts.username else str(error) or type(error).__name__
            yield fail(
                about, f"it cannot be asked: {told}", "start it, or name it by web.prometheus_url or --prometheus"
            )
            return
    yield ok(about, f"version {version}")
    if running:
        releases = sorted({row["metric"].get("version", "of an unknown version") for row in running})
        yield ok("scraping", f"{len(running)} monitors, {', '.join(releases)}")
    else:
        yield fail(
            "scraping",
            "it has no monitor_build_info: it scrapes no monitor that runs",
            "add the monitor's /metrics to its scrape_configs, or set serviceMonitor.enabled in the chart",
        )
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    for kind, wanted in (("recording rules", RECORDS), ("alerts", ALERTS)):
        yield _loaded(kind, wanted, rules)


def _loaded(kind: str, wanted: frozenset[str], rules: dict[str, Any]) -> Finding:
    missing = sorted(wanted - rules.keys())
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        advice = f"load dashboards/{_FILES[kind]} by its rule_files, or set prometheusRule.enabled in the chart"
        return fail(kind, f"{len(missing)} of {len(wanted)} are not loaded: {shown}", advice)
    ill = sorted(name for name in wanted if rules[name].get("health") == "err")
    if ill:
        why = rules[ill[0]].get("lastError") or "it does not say why"
        return warn(kind, f"{', '.join(ill)} cannot be worked out: {why}", "load the rules of this release")
    return ok(kind, f"all {len(wanted)} are loaded")
