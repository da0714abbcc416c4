"""An incident: the alarms that one cause may have raised, which page once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from monitor.domain.alarm import (
    AlarmKind,
    AlarmState,
    ReferenceVerdict,
    ScorerVerdict,
    Severity,
    StoredAlarm,
    shown_change,
)
from monitor.domain.cohort import ALL
from monitor.domain.signal import ANCHOR_REWARD

RECENT_PLACES = 10_000  # a policy model that came so shortly before an onset may be its cause
MAX_FINDINGS = 4  # named in a summary
MAX_NAME_CHARACTERS = 60  # of one cohort's or policy model's name in it


class Cause(StrEnum):
    """What may have moved the signals; of two that are as likely the first comes first."""

    SCORER = "scorer"  # what measures has changed
    POLICY_MODEL = "policy_model"  # what answers has changed
    INPUT_SHIFT = "input_shift"  # what is asked has changed
    UNKNOWN = "unknown"


class Likelihood(StrEnum):
    SHOWN = "shown"  # a test says so: the released policy asked again, or the anchor set scored again
    LIKELY = "likely"  # it came at that time and explains it
    POSSIBLE = "possible"  # it came at that time


@dataclass(frozen=True, slots=True)
class LikelyCause:
    cause: Cause
    likelihood: Likelihood
    because: str  # for people


@dataclass(frozen=True, slots=True)
class IncidentFacts:
    """What an incident's alarms make of it; times are the traces' own."""

    kind: AlarmKind  # input shifts are members of a drift's incident
    state: AlarmState
    severity: Severity  # the highest of its live members, or of all where it has ended
    opened_at: datetime  # when its first alarm was decided
    paged_at: datetime | None  # when its first alert was decided
    onset_timestamp: datetime  # its earliest member's
    onset_place: int
    members: int
    summary: str
    causes: tuple[LikelyCause, ...]  # the likeliest first; none for what watches the traffic, which names its cause
    acknowledged_by: str | None
    snoozed_until: datetime | None
    recovered_at: datetime | None

    @property
    def pages(self) -> bool:
        return self.state is AlarmState.OPEN and self.severity is Severity.ALERT


@dataclass(frozen=True, slots=True)
class Incident:
    incident_id: int
    facts: IncidentFacts
    created_at: datetime


@dataclass(frozen=True, slots=True)
class IncidentDetail:
    incident: Incident
    alarms: tuple[StoredAlarm, ...]  # the first decided first


@dataclass(frozen=True, slots=True)
class Filed:
    """An alarm with the incident that it was given, as it is kept there."""

    incident: int  # its number; new ones are counted from -1 downwards
    member: StoredAlarm


@dataclass(frozen=True, slots=True)
class VerdictWait:
    """For how long a page waits for what asking the released policy again tells of its alarms."""

    signals: frozenset[str] = frozenset()  # that can be asked about
    patience: timedelta = timedelta(0)

    def holds(self, members: Iterable[StoredAlarm], now: datetime) -> bool:
        """Say whether each alert that pages may still turn out to be the traffic's doing."""
        paging = list(filter(pages, members))
        return bool(paging) and all(
            member.alarm.kind is AlarmKind.DRIFT
            and member.alarm.stream.signal in self.signals
            and member.reference_verdict is None
            and now - member.created_at < self.patience
            for member in paging
        )


NO_WAIT = VerdictWait()


def severity_of(member: StoredAlarm) -> Severity:
    """Return how urgent *member* makes its incident.

    Neither moved prompts page anybody, nor a verdict that says so, nor one that is still waited for.
    """
    quiet = {ReferenceVerdict.TRAFFIC_CHANGED, ReferenceVerdict.ASKING}
    if member.alarm.kind is AlarmKind.INPUT_SHIFT or member.reference_verdict in quiet:
        return Severity.WARNING
    return member.alarm.severity


def pages(member: StoredAlarm) -> bool:
    """Say whether *member* alone makes its incident page."""
    return member.state is AlarmState.OPEN and severity_of(member) is Severity.ALERT


def told_by(alarms: Iterable[StoredAlarm]) -> dict[int, StoredAlarm]:
    """Return, by incident, the one of *alarms* that tells it best: the first of the highest severity."""
    chosen: dict[int, StoredAlarm] = {}
    for one in sorted(alarms, key=lambda one: (-RANK[severity_of(one)], one.alarm.place, one.alarm_id)):
        if one.incident_id is not None:
            chosen.setdefault(one.incident_id, one)
    return chosen


def family_of(kind: AlarmKind) -> AlarmKind:
    """Return what an alarm of *kind* may share an incident with: input shifts go with drifts, others with their own."""
    return AlarmKind.DRIFT if kind is AlarmKind.INPUT_SHIFT else kind


def episode_of(member: StoredAlarm) -> Hashable:
    """Return what an alert and the warning that it took the place of have in common."""
    return member.baseline_id, member.alarm.kind, member.alarm.stream, member.alarm.episode


def state_of(members: Sequence[StoredAlarm]) -> AlarmState:
    """Return an incident's state: that of its most severe live members, of which one that is open decides.

    So whoever has seen every alert has seen the incident. Without a live member it has recovered,
    or was superseded where all of it was.
    """
    live = [member for member in members if member.state.is_live]
    if not live:
        ended = {member.state for member in members}
        return AlarmState.RECOVERED if AlarmState.RECOVERED in ended else AlarmState.SUPERSEDED
    highest = max(map(severity_of, live), key=RANK.__getitem__)
    states = {member.state for member in live if severity_of(member) is highest}
    order = (AlarmState.OPEN, AlarmState.SNOOZED, AlarmState.ACKNOWLEDGED)
    return next(state for state in order if state in states)


def sum_up(members: Sequence[StoredAlarm]) -> IncidentFacts:
    """Return what *members*, at least one, make of their incident."""
    members = sorted(members, key=lambda member: (member.alarm.place, member.alarm_id))
    live = [member for member in members if member.state.is_live]
    first = min(members, key=lambda member: member.alarm.onset_timestamp).alarm
    state = state_of(members)
    alerts = [member.alarm.timestamp for member in members if severity_of(member) is Severity.ALERT]
    alerted = {episode_of(member) for member in members if member.alarm.severity is Severity.ALERT}
    told = [m for m in live or members if m.alarm.severity is Severity.ALERT or episode_of(m) not in alerted]
    return IncidentFacts(
        kind=AlarmKind.DRIFT if any(member.alarm.kind is AlarmKind.DRIFT for member in members) else first.kind,
        state=state,
        severity=max((severity_of(member) for member in live or members), key=RANK.__getitem__),
        opened_at=min(member.alarm.timestamp for member in members),
        paged_at=min(alerts, default=None),
        onset_timestamp=first.onset_timestamp,
        onset_place=first.onset_place,
        members=len(told),
        summary=summary_of(told),
        causes=likely_causes(members) if family_of(first.kind) is AlarmKind.DRIFT else (),
        acknowledged_by=next((member.acknowledged_by for member in live if member.state is state), None),
        snoozed_until=min((member.snoozed_until for member in live if member.snoozed_until is not None), default=None)
        if state is AlarmState.SNOOZED
        else None,
        recovered_at=max((member.recovered_at for member in members if member.recovered_at is not None), default=None)
        if state is AlarmState.RECOVERED
        else None,
    )


def summary_of(members: Sequence[StoredAlarm]) -> str:
    """Return one line on *members*, in their order: "response_length up in * and 4 cohorts, refusal up in koala"."""
    findings: dict[str, dict[str, None]] = {}  # cohorts in their order
    for member in members:
        alarm = member.alarm
        what = alarm.kind.value if alarm.kind is not AlarmKind.DRIFT else f"{alarm.stream.signal} {alarm.direction}"
        findings.setdefault(what, {})[alarm.stream.cohort] = None
    told = []
    for what, cohorts in list(findings.items())[:MAX_FINDINGS]:
        first = ALL if ALL in cohorts else next(iter(cohorts))[:MAX_NAME_CHARACTERS]
        others = len(cohorts) - 1
        told.append(f"{what} in {first}" + (f" and {others} cohort{'s' if others > 1 else ''}" if others else ""))
    more = len(findings) - MAX_FINDINGS
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def coincide(member: StoredAlarm, shift: StoredAlarm) -> bool:
    """Say whether *shift*, an input shift that goes on, was there when *member* was decided, in its cohort or all."""
    same = shift.baseline_id == member.baseline_id and shift.alarm.stream.cohort in {ALL, member.alarm.stream.cohort}
    return same and shift.alarm.onset_place <= member.alarm.place


def likely_causes(members: Iterable[StoredAlarm]) -> tuple[LikelyCause, ...]:
    """Rank what *members* tell of their cause: verdicts first, then what explains the change, then what coincides."""
    strength = list(Likelihood).index
    best: dict[Cause, LikelyCause] = {}
    for plea in (plea for member in members for plea in pleas_of(member)):
        if plea.cause not in best or strength(plea.likelihood) < strength(best[plea.cause].likelihood):
            best[plea.cause] = plea
    if not best:
        return (LikelyCause(Cause.UNKNOWN, Likelihood.POSSIBLE, "nothing that is watched changed at that time"),)
    order = list(Cause).index
    return tuple(sorted(best.values(), key=lambda found: (strength(found.likelihood), order(found.cause))))


def pleas_of(member: StoredAlarm) -> Iterator[LikelyCause]:
    """Yield what one alarm says for each cause."""
    alarm, shown, likely = member.alarm, Likelihood.SHOWN, Likelihood.LIKELY
    if ScorerVerdict.SCORER_CHANGED is member.scorer_verdict or alarm.stream.signal == ANCHOR_REWARD.name:
        yield LikelyCause(Cause.SCORER, shown, "the anchor set is scored otherwise than before")
    if member.scorer_verdict is ScorerVerdict.POLICY_CHANGED:
        yield LikelyCause(Cause.POLICY_MODEL, shown, "rewards moved, and the anchor set is scored as before")
    if member.reference_verdict is ReferenceVerdict.POLICY_CHANGED:
        yield LikelyCause(Cause.POLICY_MODEL, shown, "the released policy answers the same prompts otherwise")
    if member.reference_verdict is ReferenceVerdict.TRAFFIC_CHANGED:
        yield LikelyCause(Cause.INPUT_SHIFT, shown, "the released policy answers the same prompts alike")
    if member.policy_since is not None:
        name = alarm.stream.policy_model[:MAX_NAME_CHARACTERS]
        came = member.policy_since.astimezone(UTC)
        yield LikelyCause(Cause.POLICY_MODEL, likely, f"{name} came at {came:%Y-%m-%d %H:%M}Z")
    if (parts := alarm.decomposition) is not None:
        cause = Cause.INPUT_SHIFT if abs(parts.prompts) > abs(parts.model) else Cause.POLICY_MODEL
        scale, unit = shown_change(parts.unit)
        share = f"of {scale * parts.raw:+.3g} {unit} the prompts explain {scale * parts.prompts:+.3g}"
        yield LikelyCause(cause, likely, share)
    if alarm.kind is AlarmKind.INPUT_SHIFT:
        yield LikelyCause(Cause.INPUT_SHIFT, Likelihood.POSSIBLE, "what is asked moved at that time")


RANK = {severity: rank for rank, severity in enumerate(Severity)}
