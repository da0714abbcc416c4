"""The panels of what is wrong with the model, for whichever dashboard shows it."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, table
from grafana_foundation_sdk.models import dashboard as models

from dashboards.panel import ALL, CONSOLE, bars, query, red_from, rows, runbook, to_stream


def open_incidents() -> table.Panel:
    page = {"title": "Open in the console", "url": f"{CONSOLE}/incidents/${{__value.raw}}", "targetBlank": True}
    return (
        rows(
            "Open incidents",
            "Alarms of one cause, with how many are live; the number leads to the console.",
            f"max by (namespace, job, incident, kind, severity) (monitor_incident_members{ALL})",
            value="alarms",
            first=("incident", "severity", "kind", "Value"),
        )
        .override_by_name("incident", [models.DynamicConfigValue("links", [page])])
        .links([runbook("RlhfMonitorDriftAlarm"), runbook("RlhfMonitorIncidentWarning")])
        .no_value("No incident is open.")
    )


def nearest(*, width: int = 12) -> bargauge.Panel:
    evidence = f"topk(8, max by (job, signal, cohort) (monitor_stream_evidence_log{ALL}))"
    panel = bars(
        "Nearest to an alarm",
        "The eight streams with the most evidence, log e / log A; at 1 the stream alarms.",
        query(evidence, "{{job}} {{signal}} {{cohort}}"),
        width=width,
    )
    return red_from(to_stream(panel), 1)
