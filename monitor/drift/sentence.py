"""An alarm in one sentence: since when, from what to what, how sure, under which model."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.domain.alarm import Alarm, AlarmKind, Effect, StoredAlarm, shown_change
from monitor.drift.baseline import Baseline
from monitor.drift.diagnosis import read_since
from monitor.drift.log import ObservationLog
from monitor.drift.stream import Decision

SINCE_PLACES = 20_000  # before the decision, whose observations are looked at
COUNTED = {"tokens", "words"}  # units whose changes are told in percent


@dataclass(frozen=True, slots=True)
class Levels:
    """What was expected of the answers since the onset, and what they came to."""

    expected: float
    seen: float
    unit: str


@dataclass(frozen=True, slots=True)
class ToldAlarm:
    """An alarm with its own sentence."""

    stored: StoredAlarm
    sentence: str


def since_of(alarm: Alarm) -> Decision | None:
    """Return what reads *alarm*'s observations since its onset, of the latest places alone; None without a side."""
    if alarm.direction is None or alarm.evidence_log is None:
        return None
    return Decision(
        stream=alarm.stream,
        episode=alarm.episode,
        severity=alarm.severity,
        direction=alarm.direction,
        channel=0,
        place=alarm.place,
        onset_place=max(alarm.onset_place, alarm.place - SINCE_PLACES),
        observations=alarm.observations,
        evidence_log=alarm.evidence_log,
    )


def levels_of(stored: StoredAlarm, baseline: Baseline | None, log: ObservationLog) -> Levels | None:
    """Return from what to what *stored* moved; None where its effect has another unit, or the log forgot it."""
    alarm = stored.alarm
    decision = since_of(alarm)
    if baseline is None or baseline.outdated or decision is None or alarm.kind is not AlarmKind.DRIFT:
        return None
    law = baseline.get(alarm.stream.signal, alarm.stream.scorer_version)
    if law is None or alarm.effect is None or alarm.effect.unit != law.unit:
        return None
    since = read_since(decision, baseline, log)
    if not len(since):
        return None
    expected = float(since.told.mean())
    return Levels(expected, expected + alarm.effect.estimate, law.unit)


def sentence(stored: StoredAlarm, levels: Levels | None) -> str:
    """Say since when, from what to what, how sure, under which model, and how late it was told."""
    alarm = stored.alarm
    since = f"since {alarm.onset_timestamp:%Y-%m-%d %H:%M} UTC"
    if alarm.effect is None or alarm.kind is not AlarmKind.DRIFT:
        return f"{since}: {alarm.detail or alarm.kind.replace('_', ' ')}"
    said = f"{since}: {change_of(alarm.effect, levels)} under {alarm.stream.policy_model}"
    if stored.trace_number is None or stored.onset_trace_number is None:
        return said
    traces = stored.trace_number - stored.onset_trace_number
    return f"{said}; {traces:,} {'trace' if traces == 1 else 'traces'} after it began"


def change_of(effect: Effect, levels: Levels | None) -> str:
    """Say a change from level to level where they are known: a rate's in points, a length's in percent."""
    scale, shown = shown_change(effect.unit)
    if levels is None:
        return f"{scale * effect.estimate:+.3g} {shown} ({bounds_of(effect, scale)})"
    if effect.unit == "ratio":
        told = f"{scale * effect.estimate:+.3g} points, {bounds_of(effect, scale)}"
        return f"{levels.expected:.1%} -> {levels.seen:.1%} ({told})"
    level = f"{figures(levels.expected)} -> {figures(levels.seen)} {shown}"
    if effect.unit not in COUNTED or levels.expected <= 0:
        return f"{level} ({effect.estimate:+.3g}, {bounds_of(effect, 1.0)})"
    share = 100.0 / levels.expected
    low, high = (f"{share * end:+.0f}" for end in (effect.lower, effect.upper))
    return f"{level} ({share * effect.estimate:+.0f}%, 95% {low}..{high}%)"


def bounds_of(effect: Effect, scale: float) -> str:
    return f"95% {scale * effect.lower:+.3g}..{scale * effect.upper:+.3g}"


def figures(number: float) -> str:
    """Return *number* with three figures, or all those before the point."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
