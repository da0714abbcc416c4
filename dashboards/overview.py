"""The first dashboard to look at: is it well, what is wrong, and where to read on."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import units

from dashboards.frame import Rows
from dashboards.panel import (
    ALL,
    CONSOLE,
    HERE,
    PER_SECOND,
    RATE,
    RUNBOOKS,
    Panels,
    bars,
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
    incident = models.DynamicConfigValue(
        "links",
        [{"title": "Open in the console", "url": f"{CONSOLE}/incidents/${{__value.raw}}", "targetBlank": True}],
    )
    alert = models.DynamicConfigValue(
        "links", [{"title": "Runbook", "url": f"{RUNBOOKS}/${{__value.raw}}.md", "targetBlank": True}]
    )
    return [
        rows(
            "Open incidents",
            "Each with its live alarms; its number leads to the console, to the alarm that tells it.",
            f"max by (namespace, job, incident, kind, severity) (monitor_incident_members{ALL})",
            value="alarms",
        )
        .override_by_name("incident", [incident])
        .no_value("No incident is open."),
        rows(
            "Alerts that fire",
            "Of Prometheus, by the rules in dashboards/alerts; the name leads to what to do.",
            f'ALERTS{{{HERE},alertname=~"RlhfMonitor.*",alertstate="firing"}}',
            value=None,
        )
        .override_by_name("alertname", [alert])
        .no_value("No alert fires, or the rules are not loaded."),
    ]


def _watched() -> Panels:
    watched = {
        "response_length": ("Length of answers", "Mean over the window chosen above.", "suffix: tokens"),
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


def _running() -> Panels:
    return [
        red_from(
            lines(
                "Silence",
                "How long no trace has come, beside what the traffic's own rhythm explains; 1 is the alarm.",
                query(f"max by (job) (monitor_silence_ratio{ALL})", "{{job}}"),
            ),
            1,
        ).links([runbook("RlhfMonitorSilence")]),
        lines(
            "Dependencies",
            "1 where every process has had an answer in the last 30 seconds.",
            query(f"min by (job, dependency) (monitor_dependency_up{ALL})", "{{job}} {{dependency}}"),
        ).links([runbook("RlhfMonitorDependencyDown")]),
        lines(
            "Parts",
            "1 where every process says that its part is ready.",
            query(f"min by (job, part) (monitor_part_ready{ALL})", "{{job}} {{part}}"),
        ).links([runbook("RlhfMonitorPartNotReady")]),
    ]


def overview() -> Rows:
    nearest = red_from(
        to_stream(
            bars(
                "Nearest to an alarm",
                "The fifteen streams with the most evidence, log e / log A; at 1 the stream alarms.",
                query(
                    f"topk(15, max by (job, signal, cohort) (monitor_stream_evidence_log{ALL}))",
                    "{{job}} {{signal}} {{cohort}}",
                ),
            )
        ),
        1,
    )
    release = rows(
        "Releases that run",
        "Processes of each; two releases while one is rolled out.",
        f"count by (namespace, job, version, python) (monitor_build_info{ALL})",
        value="processes",
    )
    return {
        "": _now(),
        "What is wrong": _wrong(),
        "What is watched": _watched(),
        "Whether it runs": [*_running(), nearest, release],
    }
