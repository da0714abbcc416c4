"""The panels of whether the program itself is well, for whichever dashboard shows them."""

from __future__ import annotations

from dashboards.panel import ALL, Panels, lines, listed, query, red_from, runbook, yes_or_no


def health() -> Panels:
    silence = lines(
        "Silence",
        "How long no trace has come, beside what the traffic's own rhythm explains; 1 is the alarm.",
        query(f"max by (job) (monitor_silence_ratio{ALL})", "{{job}}"),
    )
    return [
        red_from(silence, 1).links([runbook("RlhfMonitorSilence")]),
        yes_or_no(
            lines(
                "Dependencies",
                "1 where every process has had an answer in the last 30 seconds.",
                query(f"min by (job, dependency) (monitor_dependency_up{ALL})", "{{job}} {{dependency}}"),
            )
        ).links([runbook("RlhfMonitorDependencyDown")]),
        yes_or_no(
            listed(
                lines(
                    "Parts",
                    "1 where every process says that its part is ready.",
                    query(f"min by (job, part) (monitor_part_ready{ALL})", "{{job}} {{part}}"),
                )
            )
        ).links([runbook("RlhfMonitorPartNotReady")]),
    ]
