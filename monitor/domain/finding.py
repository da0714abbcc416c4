"""What an incident's alarms have found, a line each, and which incidents come first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from monitor.domain.alarm import AlarmKind, AlarmState, Decomposition, Direction, Effect, Severity, StoredAlarm
from monitor.domain.cohort import ALL
from monitor.domain.incident import Incident, IncidentFacts
from monitor.domain.stream import StreamKey

MAX_FINDINGS = 8  # of one incident; its alarms themselves tell the rest


class Urgency(StrEnum):
    """How an incident stands on the console, the most urgent first."""

    ALERT = "alert"
    WARNING = "warning"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that moved in one way, in however many cohorts, told by the alarm that leads."""

    alarm_id: int
    kind: AlarmKind
    stream: StreamKey
    direction: Direction | None
    severity: Severity
    effect: Effect | None
    decomposition: Decomposition | None
    detail: str
    timestamp: datetime
    trace_number: int | None
    onset_trace_number: int | None
    others: int  # cohorts beside its own


@dataclass(frozen=True, slots=True)
class IncidentCard:
    incident_id: int
    urgency: Urgency
    facts: IncidentFacts
    findings: tuple[Finding, ...]
    more_findings: int
    alarms: int


@dataclass(frozen=True, slots=True)
class IncidentBoard:
    """The incidents that come first of each urgency, and how many there are of it."""

    cards: tuple[IncidentCard, ...]  # by urgency, and within one the first told on top, for it is the likeliest cause
    totals: Mapping[Urgency, int]


def urgency_of(facts: IncidentFacts) -> Urgency:
    if facts.state is AlarmState.OPEN:
        return Urgency(facts.severity.value)
    return Urgency(facts.state.value) if facts.state.is_live else Urgency.ENDED


def choose(incidents: Iterable[Incident], limit: int) -> tuple[list[Incident], Mapping[Urgency, int]]:
    """Return the first *limit* of each urgency, in the order of a board, and how many there are of each."""
    order = list(Urgency).index
    ranked = sorted(
        incidents, key=lambda found: (order(urgency_of(found.facts)), found.facts.opened_at, found.incident_id)
    )
    totals, chosen = Counter[Urgency](), []
    for incident in ranked:
        urgency = urgency_of(incident.facts)
        totals[urgency] += 1
        if totals[urgency] <= limit:
            chosen.append(incident)
    return chosen, totals


def leads_of(members: Iterable[StoredAlarm]) -> list[tuple[StoredAlarm, int]]:
    """Return the alarm that leads each finding, and how many other cohorts found the same.

    The roll-up's leads where there is one, else the earliest; an alert leads before the warning it took the place of.
    """
    found = defaultdict[object, list[StoredAlarm]](list)
    for member in sorted(members, key=lambda member: (member.alarm.place, member.alarm_id)):
        alarm, stream = member.alarm, member.alarm.stream
        found[alarm.kind, stream.signal, alarm.direction, stream.policy_model, stream.scorer_version].append(member)
    leads = []
    for group in found.values():
        first = [member for member in group if member.alarm.severity is Severity.ALERT] or group
        lead = next((member for member in first if member.alarm.stream.cohort == ALL), first[0])
        leads.append((lead, len({member.alarm.stream.cohort for member in group}) - 1))
    return sorted(leads, key=lambda pair: pair[0].alarm.severity is not Severity.ALERT)  # a warning under every page


def card_of(incident: Incident, leads: Sequence[tuple[StoredAlarm, int]], *, alarms: int) -> IncidentCard:
    """Return *incident* with what *leads*, as `leads_of` orders them, tell of its *alarms*."""
    return IncidentCard(
        incident_id=incident.incident_id,
        urgency=urgency_of(incident.facts),
        facts=incident.facts,
        findings=tuple(_finding(lead, others) for lead, others in leads[:MAX_FINDINGS]),
        more_findings=max(0, len(leads) - MAX_FINDINGS),
        alarms=alarms,
    )


def _finding(lead: StoredAlarm, others: int) -> Finding:
    alarm = lead.alarm
    return Finding(
        alarm_id=lead.alarm_id,
        kind=alarm.kind,
        stream=alarm.stream,
        direction=alarm.direction,
        severity=alarm.severity,
        effect=alarm.effect,
        decomposition=alarm.decomposition,
        detail=alarm.detail,
        timestamp=alarm.timestamp,
        trace_number=lead.trace_number,
        onset_trace_number=lead.onset_trace_number,
        others=others,
    )
