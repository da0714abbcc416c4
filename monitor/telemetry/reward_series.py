"""The series of what goes together with the reward."""

from __future__ import annotations

from monitor.telemetry.declaration import Kind, Part, Series

REWARD_CORRELATION = Series(
    "monitor_reward_correlation",
    Kind.GAUGE,
    Part.CONTROLLER,
    "correlation",
    "How the reward's ranks go with a signal's within cohorts, -1 to 1, with its interval of 95%: in the baseline's"
    " window and in the latest traces since. Of several policy models and scorers those that most of the latest have.",
    ("signal", "window", "bound"),
)
