"""The incidents that the alarms of a backtest make up, as the daemon would have stored them at the files' end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from monitor.domain.alarm import Alarm, AlarmState, Recovery, Severity, StoredAlarm
from monitor.domain.incident import RECENT_PLACES, IncidentFacts, sum_up
from monitor.domain.observation import SubjectRef
from monitor.domain.stream import StreamKey
from monitor.drift.incident import IncidentRule

BASELINE = 0  # all alarms of a backtest are against the one


def incidents_of(
    alarms: Sequence[Alarm],
    recoveries: Iterable[Recovery],
    *,
    came: Mapping[str, SubjectRef],
    rule: IncidentRule | None = None,
) -> tuple[IncidentFacts, ...]:
    """Group *alarms*; *came* has where each policy model began, those of the beginning left out.

    The first told come first.
    """
    ended: dict[tuple[StreamKey, int], int] = {(item.stream, item.episode): item.place for item in recoveries}
    alerted = {(alarm.stream, alarm.episode) for alarm in alarms if alarm.severity is Severity.ALERT}
    stored = []
    for number, alarm in enumerate(alarms):
        episode = alarm.stream, alarm.episode
        replaced = alarm.severity is Severity.WARNING and episode in alerted
        place = None if replaced else ended.get(episode)
        state = AlarmState.SUPERSEDED if replaced else AlarmState.OPEN if place is None else AlarmState.RECOVERED
        began = came.get(alarm.stream.policy_model)
        recent = began is not None and alarm.onset_place - RECENT_PLACES <= began.place <= alarm.place
        stored.append(
            StoredAlarm(
                alarm_id=number,
                state=state,
                alarm=alarm,
                created_at=alarm.timestamp,
                baseline_id=BASELINE,
                recovered_place=place,
                policy_since=None if began is None or not recent else began.timestamp,
            )
        )
    groups: dict[int, list[StoredAlarm]] = {}
    for filed in (rule or IncidentRule()).file(stored, ()):
        groups.setdefault(filed.incident, []).append(filed.member)
    return tuple(sorted(map(sum_up, groups.values()), key=lambda facts: facts.opened_at))
