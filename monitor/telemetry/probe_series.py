"""The series of probes: what the live model is asked on a schedule, and how that went."""

from __future__ import annotations

from monitor.telemetry.declaration import Kind, Part, Series

PROBE_RUNS = Series(
    "monitor_probe_runs_total",
    Kind.COUNTER,
    Part.CONTROLLER,
    "runs",
    "Runs of probes that ended: done, partial, unavailable where the endpoint did not answer, dropped.",
    ("suite", "state"),
)
PROBE_RATE = Series(
    "monitor_probe_rate",
    Kind.GAUGE,
    Part.CONTROLLER,
    "ratio",
    "Rate of a suite in the last seven days, of the latest version and policy model, with its 95% bounds.",
    ("suite", "signal", "bound"),
)
PROBE_ANSWERED = Series(
    "monitor_probe_answered",
    Kind.GAUGE,
    Part.CONTROLLER,
    "1 or 0",
    "1 where the endpoint answered the suite's last run that ended, 0 where it was away.",
    ("suite",),
)
PROBE_LAST_RUN = Series(
    "monitor_probe_last_run_timestamp_seconds",
    Kind.GAUGE,
    Part.CONTROLLER,
    "seconds since 1970",
    "When the suite's last run began.",
    ("suite",),
)

PROBE_GAUGES = (PROBE_RATE, PROBE_ANSWERED, PROBE_LAST_RUN)
PROBE_SERIES = (PROBE_RUNS, *PROBE_GAUGES)
