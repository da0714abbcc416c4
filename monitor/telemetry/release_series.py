"""The series of what follows a promotion: who is still to be told, and what is seen of the new version."""

from __future__ import annotations

from monitor.telemetry.declaration import Kind, Part, Series

ANNOUNCEMENTS_WAITING = Series(
    "monitor_announcements_waiting",
    Kind.GAUGE,
    Part.CONTROLLER,
    "announcements",
    "Promotions and roll-backs of policies that a configured channel has not told yet.",
    ("channel",),
)
ANNOUNCEMENT_WAIT = Series(
    "monitor_announcement_wait_seconds",
    Kind.GAUGE,
    Part.CONTROLLER,
    "seconds",
    "For how long the oldest of them has waited; 0 without any.",
    ("channel",),
)
BAKES = Series(
    "monitor_bakes",
    Kind.GAUGE,
    Part.CONTROLLER,
    "bake windows",
    "Promotions in their bake window, by where it stands: baking, unseen (too few traces in time), asks (an operator).",
    ("role", "state"),
)
BAKE_TRACES = Series(
    "monitor_bake_traces",
    Kind.GAUGE,
    Part.CONTROLLER,
    "traces",
    "Traces of the promoted version in its open bake window: seen, and wanted.",
    ("role", "count"),
)
SHADOW_TRACES = Series(
    "monitor_shadow_traces",
    Kind.GAUGE,
    Part.CONTROLLER,
    "traces",
    "Traces that a passed ensemble has scored beside the champion, and those it has to before its promotion.",
    ("count",),
)
SHADOW_ALIKE = Series(
    "monitor_shadow_alike",
    Kind.GAUGE,
    Part.CONTROLLER,
    "correlation, ratio, sd of the rewards",
    "How alike the two score: correlation, rank_agreement (share of pairs of traces that both put in one order), and"
    " mean_difference (candidate less champion).",
    ("measure",),
)
RELEASE_SERIES = (ANNOUNCEMENTS_WAITING, ANNOUNCEMENT_WAIT, BAKES, BAKE_TRACES, SHADOW_TRACES, SHADOW_ALIKE)
