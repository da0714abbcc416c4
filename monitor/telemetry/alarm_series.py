"""The series of drift: open alarms and the incidents that they belong to."""

from __future__ import annotations

from monitor.telemetry.declaration import Kind, Part, Series

ALARMS_OPEN = Series(
    "monitor_alarms_open",
    Kind.GAUGE,
    Part.CONTROLLER,
    "alarms",
    "Drift alarms that are open: not acknowledged, not recovered, not superseded.",
    ("signal", "severity"),
)
ALARM_EFFECT = Series(
    "monitor_alarm_effect",
    Kind.GAUGE,
    Part.CONTROLLER,
    "see the label",
    "How far an open alarm's signal lies from its baseline; of several policy models in one cohort, the largest.",
    ("signal", "cohort", "direction", "severity", "unit"),
)
INCIDENTS_OPEN = Series(
    "monitor_incidents_open",
    Kind.GAUGE,
    Part.CONTROLLER,
    "incidents",
    "Incidents, alarms of one cause, that nobody has acknowledged or snoozed. One of severity alert pages.",
    ("severity",),
)
INCIDENT_MEMBERS = Series(
    "monitor_incident_members",
    Kind.GAUGE,
    Part.CONTROLLER,
    "alarms",
    "Live alarms of an open incident, by its number: there while it is open, so each is told once.",
    ("incident", "kind", "severity"),
)
INCIDENT_EFFECT = Series(
    "monitor_incident_effect",
    Kind.GAUGE,
    Part.CONTROLLER,
    "see the label",
    "Effect of the alarm that tells an open incident, its first of the highest severity; NaN where it has none.",
    ("incident", "signal", "cohort", "direction", "unit"),
)
INCIDENT_ONSET = Series(
    "monitor_incident_onset_timestamp_seconds",
    Kind.GAUGE,
    Part.CONTROLLER,
    "seconds since 1970",
    "When what an open incident tells of began, by the traces' own time.",
    ("incident",),
)

ALARM_SERIES = (ALARMS_OPEN, ALARM_EFFECT, INCIDENT_EFFECT)
INCIDENT_SERIES = (INCIDENTS_OPEN, INCIDENT_MEMBERS, INCIDENT_ONSET)
