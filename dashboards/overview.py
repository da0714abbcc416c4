"""The first dashboard to look at: is it well, what is wrong, and where to read on."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import units

from dashboards.alarms import nearest, open_incidents
from dashboards.frame import Rows
from dashboards.health import health
from dashboards.panel import (
    ALL,
    HERE,
    PER_SECOND,
    RATE,
    RUNBOOKS,
    Panels,
    lines,
    number,
    query,
    red_below,
    red_from,
    rows,
    runbook,
    to_stream,
)
from dashboards.window import mean_of

_PAGES = f'{{{HERE},severity="alert"}}'


def _now() -> Panels:
    lag = f"sum(max by (namespace, job, topic, partition) (monitor_kafka_lag{ALL}))"
    return [
        red_from(
            number(
                "Incidents that page",
                "Alarms of one cause, neither acknowledged nor snoozed nor recovered.",
                f"sum(max by (namespace, job, severity) (monitor_incidents_open{_PAGES}))",
            ),
            1,
        ).links([runbook("RlhfMonitorDriftAlarm")]),
        red_below(
            number(
                "Leaders",
                "One process of each deployment must lead; the least of the deployments chosen above.",
                f"min(sum by (namespace, job) (monitor_leader{ALL}))",
            ),
            1,
        ).links([runbook("RlhfMonitorNoLeader")]),
        number(
            "Records read",
            "Of the trace topics, by every worker.",
            f"sum(rate(monitor_traces_total{ALL}[{RATE}]))",
            unit=PER_SECOND,
        ).links([runbook("RlhfMonitorNoTraces")]),
        number("Records to be read", "Kafka lag over all partitions.", lag).links([runbook("RlhfMonitorLagGrowing")]),
        red_from(
            number(
                "Dependencies away",
                "Of all processes: PostgreSQL, Kafka or the scoring servers that have not answered for 30 seconds.",
                f"sum(1 - monitor_dependency_up{ALL})",
            ),
            1,
        ).links([runbook("RlhfMonitorDependencyDown")]),
        number(
            "Reward models promoted",
            "How long ago the last one was.",
            f"1000 * max(monitor_last_refresh_timestamp_seconds{ALL} > 0)",
            unit=units.DateTimeFromNow,
        ).no_value("No reward model was promoted yet."),
    ]


def _wrong() -> Panels:
    alert = {"title": "Runbook", "url": f"{RUNBOOKS}/${{__value.raw}}.md", "targetBlank": True}
    return [
        open_incidents(),
        rows(
            "Alerts that fire",
            "Of Prometheus, by the rules in dashboards/alerts; the name leads to what to do.",
            f'ALERTS{{{HERE},alertname=~"RlhfMonitor.*",alertstate="firing"}}',
            value=None,
            first=("alertname", "severity"),
        )
        .override_by_name("alertname", [models.DynamicConfigValue("links", [alert])])
        .no_value("No alert fires, or the rules are not loaded."),
    ]


def _told() -> Panels:
    """Return what shows whether receivers of notifications are reached."""
    return [
        lines(
            "People that are told",
            "Messages on incidents that receivers took, an hour.",
            query(
                f'sum by (job, receiver) (3600 * rate(monitor_notifications_total{{{HERE},outcome="sent"}}[1h]))',
                "{{job}} {{receiver}}",
            ),
        ).no_value("No receiver is set in notify."),
        red_from(
            lines(
                "People that are not told",
                "For how long a receiver has not taken a message.",
                query(f"max by (job, receiver) (monitor_notification_wait_seconds{ALL})", "{{job}} {{receiver}}"),
                unit=units.Seconds,
            ),
            900,
        )
        .links([runbook("RlhfMonitorNotificationsFail")])
        .no_value("No receiver is set in notify."),
    ]


def _watched() -> Panels:
    watched = {
        "response_length": ("Length of answers", "Mean over the window chosen above.", "suffix:tokens"),
        "refusal": ("Refusals", "Share of the answers over the window that refuse.", units.PercentUnit),
        "reward_win": (
            "Answers that the reward models prefer",
            "Share of those with a reference, over the window. It moves first, and lies when the models drift.",
            units.PercentUnit,
        ),
    }
    length, refusal, win = (
        to_stream(lines(title, description, query(mean_of(signal), "{{job}} {{cohort}}"), unit=unit), signal=signal)
        for signal, (title, description, unit) in watched.items()
    )
    return [length, refusal, win.no_value("No answer came with a reference, or nothing is scored.")]


def overview() -> Rows:
    release = rows(
        "Releases that run",
        "Processes of each; two releases while one is rolled out.",
        f"count by (namespace, job, version, python) (monitor_build_info{ALL})",
        value="processes",
        first=("version", "python", "Value"),
        width=8,
    )
    return {
        "": _now(),
        "What is wrong": _wrong(),
        "What is watched": [*_watched(), nearest(width=24)],
        "Whether it runs": [*health(), *_told(), release],
    }
