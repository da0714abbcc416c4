"""The panels of probes: what the live model answers to fixed questions, and whether it answers at all."""

from __future__ import annotations

from dashboards.panel import ALL, HERE, Panel, Query, Row

_INTERVAL = f'{{{HERE},bound=~"estimate|lower|upper"}}'

PROBES = Row(
    "Probes",
    (
        Panel(
            "Rates of probes",
            "Of seven days, with intervals of 95%: refusals of harmless questions, compliance with harmful requests,"
            " answers that go with the asker's view (one half: not swayed), right ones, wins against the baseline's.",
            (
                Query(
                    f"max by (job, suite, signal, bound) (monitor_probe_rate{_INTERVAL})",
                    "{{job}} {{suite}} {{signal}} {{bound}}",
                ),
            ),
            "percentunit",
            width=12,
        ),
        Panel(
            "Endpoint answered",
            "1 where the last run of the suite was answered, 0 where the endpoint was away: that is no drift.",
            (Query(f"min by (job, suite) (monitor_probe_answered{ALL})", "{{job}} {{suite}}"),),
        ),
        Panel(
            "Runs of probes",
            "That ended in a day, by how they ended.",
            (Query(f"sum by (job, state) (increase(monitor_probe_runs_total{ALL}[1d]))", "{{job}} {{state}}"),),
        ),
        Panel(
            "Since the last run",
            "Of the suite that was asked longest ago.",
            (
                Query(
                    f"time() - min by (job, suite) (monitor_probe_last_run_timestamp_seconds{ALL})", "{{job}} {{suite}}"
                ),
            ),
            "s",
        ),
    ),
)
