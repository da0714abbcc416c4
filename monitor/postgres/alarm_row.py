"""A row of the alarm table as a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import Connection, Row

from monitor.domain.alarm import (
    Alarm,
    AlarmKind,
    AlarmState,
    Decomposition,
    Direction,
    Effect,
    ReferenceVerdict,
    ScorerVerdict,
    Severity,
    StoredAlarm,
)
from monitor.domain.stream import StreamKey
from monitor.postgres.log import trace_numbers


def numbered_alarms(connection: Connection, rows: Iterable[Row[Any]]) -> tuple[StoredAlarm, ...]:
    """Return the alarms of *rows* with the numbers of their traces: places hold other subjects too."""
    found = list(map(stored_alarm, rows))
    places = [stored.alarm.place for stored in found] + [stored.alarm.onset_place for stored in found]
    numbers = trace_numbers(connection, places)
    return tuple(
        replace(stored, trace_number=number, onset_trace_number=onset)
        for stored, number, onset in zip(found, numbers[: len(found)], numbers[len(found) :], strict=True)
    )


def stored_alarm(row: Row[Any]) -> StoredAlarm:
    effect = (row.effect_estimate, row.effect_lower, row.effect_upper, row.effect_unit)
    alarm = Alarm(
        stream=StreamKey(row.signal, row.cohort, row.policy_model, row.scorer_version),
        direction=None if row.direction is None else Direction(row.direction),
        severity=Severity(row.severity),
        place=row.place,
        trace_id=row.trace_id,
        timestamp=row.timestamp,
        onset_place=row.onset_place,
        onset_timestamp=row.onset_timestamp,
        observations=row.observations,
        evidence_log=row.evidence_log,
        effect=None if row.effect_unit is None else Effect(*effect),
        examples=tuple(row.examples),
        episode=row.episode,
        kind=AlarmKind(row.kind),
        detail=row.detail,
        decomposition=None if row.decomposition is None else msgspec.convert(row.decomposition, Decomposition),
    )
    return StoredAlarm(
        alarm_id=row.alarm_id,
        state=AlarmState(row.state),
        alarm=alarm,
        created_at=row.created_at,
        acknowledged_by=row.acknowledged_by,
        recovered_at=row.recovered_at,
        snoozed_until=row.snoozed_until,
        incident_id=row.incident_id,
        reference_verdict=None if row.reference_verdict is None else ReferenceVerdict(row.reference_verdict),
        reference_verdict_at=row.reference_verdict_at,
        reference_note=row.reference_note,
        scorer_verdict=None if row.scorer_verdict is None else ScorerVerdict(row.scorer_verdict),
        scorer_verdict_at=row.scorer_verdict_at,
        scorer_note=row.scorer_note,
        baseline_id=row.baseline_id,
        recovered_place=row.recovered_place,
        policy_since=row.policy_since,
    )
