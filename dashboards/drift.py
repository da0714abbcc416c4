"""Every signal against its baseline, the evidence, the alarms, and what is asked to tell their causes."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.alarms import nearest, open_incidents
from dashboards.frame import Rows
from dashboards.panel import (
    ALL,
    CONSOLE,
    HERE,
    PER_SECOND,
    STREAM,
    Panels,
    baseline_behind,
    bounds_dashed,
    by_unit,
    lines,
    link,
    listed,
    query,
    red_from,
    rows,
    rows_to_streams,
    runbook,
    stacked,
    to_stream,
    yes_or_no,
)
from dashboards.window import windowed_mean

_STREAM = "{{job}} {{signal}} {{cohort}}"
_INTERVAL = f'{{{HERE},bound=~"estimate|lower|upper"}}'


def _signals() -> Panels:
    """Return a panel that Grafana repeats for each signal chosen, so that no two units share an axis."""
    mean = windowed_mean(f'{STREAM},model=~"$model"', "job, cohort, model, unit")
    panel = to_stream(
        baseline_behind(
            lines(
                "$signal",
                "The mean over the window chosen above, beside the baseline's with two standard errors, in grey.",
                query(mean, "{{job}} {{cohort}} {{model}} ({{unit}})"),
                query(
                    f"max by (job, cohort, bound, unit) (monitor_stream_baseline{{{STREAM}}})",
                    "{{job}} {{cohort}} baseline {{bound}} ({{unit}})",
                ),
                width=12,
            )
        ),
        signal="${signal:percentencode}",
    )
    return [by_unit(panel).repeat("signal").repeat_direction("h").max_per_row(2)]


def _evidence() -> Panels:
    mean = f"max by (job, signal, cohort, unit) (monitor_stream_mean{{{STREAM}}})"
    return [
        red_from(
            to_stream(
                listed(
                    lines(
                        "Evidence",
                        "log e / log A by stream; at 1 the stream alarms.",
                        query(f"max by (job, signal, cohort) (monitor_stream_evidence_log{{{STREAM}}})", _STREAM),
                        width=12,
                    )
                )
            ),
            1,
        ),
        nearest(),
        listed(
            lines(
                "Observations",
                "Folded in a second, of each signal chosen, by policy model.",
                query(
                    f'sum by (job, signal, model) (rate(monitor_stream_observations_total{{{STREAM},model=~"$model"}}'
                    "[$window]))",
                    "{{job}} {{signal}} {{model}}",
                ),
                unit=PER_SECOND,
                width=12,
            )
        ),
        rows_to_streams(
            rows(
                "Means since the baseline was frozen",
                "Each in its own unit.",
                mean,
                value="mean",
                first=("signal", "cohort", "Value", "unit"),
            )
        ),
    ]


def _alarms() -> Panels:
    return [
        rows_to_streams(
            rows(
                "Open alarms",
                "How far each signal lies from its baseline, in the unit that stands beside it.",
                f"max by (job, signal, cohort, direction, severity, unit) (monitor_alarm_effect{{{STREAM}}})",
                value="effect",
                first=("signal", "cohort", "severity", "direction", "Value", "unit"),
            )
        )
        .links([link("Alarms in the console", CONSOLE), runbook("RlhfMonitorDriftAlarm")])
        .no_value("No alarm is open for the streams chosen."),
        open_incidents(),
        listed(
            lines(
                "Open alarms by signal",
                "Drift alarms that nobody has acknowledged or snoozed.",
                query(
                    f"max by (job, signal, severity) (monitor_alarms_open{ALL}) > 0", "{{job}} {{signal}} {{severity}}"
                ),
                width=24,
            )
        ).no_value("No alarm is open."),
    ]


def _fold() -> Panels:
    return [
        lines(
            "Traces to be folded",
            "Grows where the controller stalls.",
            query(f"max by (job) (monitor_fold_lag_traces{ALL})", "{{job}}"),
            width=12,
        ).links([runbook("RlhfMonitorFoldStalled")]),
        red_from(
            lines(
                "Transaction that stops the fold",
                "Age of the oldest one on PostgreSQL's server; 0 where none does.",
                query(f"max by (job) (monitor_placement_blocked_seconds{ALL})", "{{job}}"),
                unit=units.Seconds,
                width=12,
            ),
            300,
        ).links([runbook("RlhfMonitorPlacementBlocked")]),
    ]


def _asked() -> Panels:
    requests = f"sum by (outcome) (increase(monitor_reference_requests_total{ALL}[5m]))"
    panels = [
        stacked(
            lines(
                "Prompts asked again",
                "Of the released policy in the last five minutes, by what became of them.",
                query(requests, "{{outcome}}"),
            )
        ).links([runbook("RlhfMonitorReferenceAway")])
    ]
    for unit in ("requests", "tokens"):
        left = f'max by (job) (monitor_reference_budget_left{{{HERE},unit="{unit}"}})'
        panels.append(
            lines(f"Budget left: {unit}", "What may still be asked today, in UTC.", query(left, "{{job}}"))
            .links([runbook("RlhfMonitorReferenceBudgetSpent")])
            .no_value("No reference.endpoint is set.")
        )
    return panels


def _probes() -> Panels:
    none = "No suite of probes has run: probes.endpoint is not set."
    since = f"time() - min by (job, suite) (monitor_probe_last_run_timestamp_seconds{ALL})"
    panels = [
        bounds_dashed(
            listed(
                lines(
                    "Rates of probes",
                    "Of seven days, with intervals of 95%: refusals of harmless questions, compliance with harmful"
                    " requests, answers that go with the asker's view (one half: not swayed), right ones, wins against"
                    " the baseline's.",
                    query(
                        f"max by (job, suite, signal, bound) (monitor_probe_rate{_INTERVAL})",
                        "{{job}} {{suite}} {{signal}} {{bound}}",
                    ),
                    unit=units.PercentUnit,
                    width=24,
                )
            )
        ),
        yes_or_no(
            lines(
                "Endpoint answered",
                "1 where the last run of the suite was answered, 0 where the endpoint was away: that is no drift.",
                query(f"min by (job, suite) (monitor_probe_answered{ALL})", "{{job}} {{suite}}"),
            )
        ).links([runbook("RlhfMonitorProbesUnanswered")]),
        lines(
            "Runs of probes",
            "That ended in a day, by how they ended.",
            query(f"sum by (job, state) (increase(monitor_probe_runs_total{ALL}[1d]))", "{{job}} {{state}}"),
        ),
        lines(
            "Since the last run",
            "Of the suite that was asked longest ago.",
            query(since, "{{job}} {{suite}}"),
            unit=units.Seconds,
        ),
    ]
    return [panel.no_value(none) for panel in panels]


def drift() -> Rows:
    return {
        "Signals": _signals(),
        "Evidence": _evidence(),
        "Alarms": _alarms(),
        "The fold": _fold(),
        "Asking again": _asked(),
        "Probes": _probes(),
    }
