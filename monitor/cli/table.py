"""Tables for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.table import Table

from monitor.cli.terminal import cell
from monitor.domain.alarm import Alarm, Effect


def alarm_table(alarms: Iterable[Alarm]) -> Table:
    table = Table("signal", "cohort", "policy model", "direction", "severity", "at trace", "onset", "since", "effect")
    for alarm in alarms:
        row = (
            alarm.stream.signal,
            alarm.stream.cohort,
            alarm.stream.policy_model,
            alarm.direction.value,
            alarm.severity.value,
            f"{alarm.place} ({(alarm.trace_id or '-')[:24]})",
            str(alarm.onset_place),
            moment(alarm.onset_timestamp),
            effect_text(alarm.effect),
        )
        table.add_row(*(cell(text) for text in row))
    return table


def effect_text(effect: Effect) -> str:
    return f"{effect.estimate:+.3g} [{effect.lower:+.3g}, {effect.upper:+.3g}] {effect.unit}"


def moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
