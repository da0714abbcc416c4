"""The dashboard's row of what follows a promotion."""

from __future__ import annotations

from dashboards.panel import ALL, Panel, Query, Row

RELEASES = Row(
    "Promotions",
    (
        Panel(
            "Bake windows",
            "Promotions in which an alarm still counts, by where they stand.",
            (Query(f"max by (job, role, state) (monitor_bakes{ALL}) > 0", "{{job}} {{role}} {{state}}"),),
            width=6,
        ),
        Panel(
            "Traces of the new version",
            "Seen in the bake window, and wanted.",
            (Query(f"max by (job, role, count) (monitor_bake_traces{ALL})", "{{job}} {{role}} {{count}}"),),
            width=6,
        ),
        Panel(
            "Announcements that wait",
            "Of promoted and rolled back policies, by channel.",
            (Query(f"max by (job, channel) (monitor_announcements_waiting{ALL})", "{{job}} {{channel}}"),),
            width=6,
        ),
        Panel(
            "The longest wait",
            "Of an announcement, by channel.",
            (Query(f"max by (job, channel) (monitor_announcement_wait_seconds{ALL})", "{{job}} {{channel}}"),),
            "s",
            width=6,
        ),
        Panel(
            "Scored beside the champion",
            "Traces that a passed ensemble has scored, and those it has to before its promotion.",
            (Query(f"max by (job, count) (monitor_shadow_traces{ALL})", "{{job}} {{count}}"),),
            width=12,
        ),
        Panel(
            "Candidate beside champion",
            "Correlation, share of pairs of traces in one order, and mean difference in the champion's sd.",
            (Query(f"max by (job, measure) (monitor_shadow_alike{ALL})", "{{job}} {{measure}}"),),
            width=12,
        ),
    ),
)
