"""The series of notifications: what became of each attempt, and what waits."""

from __future__ import annotations

from monitor.telemetry.declaration import Kind, Part, Series

NOTIFICATIONS = Series(
    "monitor_notifications_total",
    Kind.COUNTER,
    Part.CONTROLLER,
    "attempts",
    "Attempts to tell a receiver of `notify` of an incident: sent, failed (tried again), refused (not tried again).",
    ("receiver", "outcome"),
)
NOTIFICATION_WAIT = Series(
    "monitor_notification_wait_seconds",
    Kind.GAUGE,
    Part.CONTROLLER,
    "seconds",
    "For how long the oldest message that a receiver has not taken has been tried; 0 without any.",
    ("receiver",),
)
NOTIFY_SERIES = (NOTIFICATIONS, NOTIFICATION_WAIT)
