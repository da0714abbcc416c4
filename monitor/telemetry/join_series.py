"""The series of calls that come in pieces."""

from __future__ import annotations

from monitor.telemetry.declaration import Kind, Part, Series

FRAGMENTS_WAITING = Series(
    "monitor_fragments_waiting",
    Kind.GAUGE,
    Part.WORKER,
    "parts",
    "Parts of calls that wait for others, in the database and so of all workers; bounded by ingest.join.max_fragments.",
)
FRAGMENT_AGE_SECONDS = Series(
    "monitor_fragment_age_seconds",
    Kind.GAUGE,
    Part.WORKER,
    "seconds",
    "How long the oldest part has waited; a little more than ingest.join.seconds at most.",
)
FRAGMENTS = Series(
    "monitor_fragments_total",
    Kind.COUNTER,
    Part.WORKER,
    "parts",
    "Parts that were stored to wait for others; each costs a row that is written and deleted.",
)
INCOMPLETE_CALLS = Series(
    "monitor_incomplete_calls_total",
    Kind.COUNTER,
    Part.WORKER,
    "calls",
    "Calls that were taken as they are when their time to wait was over, by what was missing: text, parent or span.",
    ("missing",),
)
JOIN_SERIES = (FRAGMENTS_WAITING, FRAGMENT_AGE_SECONDS, FRAGMENTS, INCOMPLETE_CALLS)
