"""Which alarms are one incident: a pure decision, made when they are stored."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.domain.alarm import AlarmKind, AlarmState, Severity, StoredAlarm
from monitor.domain.cohort import ALL
from monitor.domain.incident import RANK, Filed, episode_of, family_of, pages, severity_of, state_of
from monitor.domain.signal import ANCHOR_REWARD

GROWTH = 7.0  # windows after which an incident takes no alarm any more, however early that one's onset lies


@dataclass(frozen=True, slots=True)
class IncidentRule:
    """Which alarms share an incident.

    The reason for a day: a swap shows in the busiest stream within minutes, and within a day, the traffic's own
    period, in most of the others. And a person who was paged today need not be paged again for what began today.
    """

    window: timedelta = timedelta(days=1)

    def file(self, new: Iterable[StoredAlarm], known: Iterable[StoredAlarm]) -> list[Filed]:
        """Give each alarm of *new* an incident: one of those that hold the alarms *known*, or a new one.

        The answer does not depend on the order of *new*, and where *known* holds what was filed before, nor on
        how the alarms are cut into calls. What people did to an alarm plays no part in where the next one goes.
        """
        new, known = sorted(new, key=order_of), tuple(known)
        alerts = {
            episode_of(member): member.alarm.place
            for member in (*known, *new)
            if member.alarm.severity is Severity.ALERT
        }
        # An older release's alarms stay as people left them, who saw each by itself.
        left_over = any(member.state in {AlarmState.ACKNOWLEDGED, AlarmState.SNOOZED} for member in new)
        groups: dict[int, Group] = {}
        for member in known:
            assert member.incident_id is not None
            before = groups.get(member.incident_id)
            grown = Group.of(member.incident_id, member) if before is None else before.with_member(member)
            groups[member.incident_id] = grown
        filed: list[Filed] = []
        for member in new:
            fitting = [
                group
                for group in groups.values()
                if group.is_live_before(member, alerts) and self.may_share(group, member)
            ]
            if fitting:
                group = min(fitting, key=lambda group: group.closeness(member))
                joined = member if left_over else group.welcome(member)
                groups[group.number] = group.with_member(joined)
            else:
                joined, group = member, Group.of(min([0, *groups]) - 1, member)
                groups[group.number] = group
            filed.append(Filed(group.number, joined))
        return filed

    def may_share(self, group: Group, member: StoredAlarm) -> bool:
        """Say whether *member* may be of the cause of *group*: of its kind and model, and of its time.

        Of its time is an alarm that began before a window had passed since the page, and that either is decided
        in that window too or began with the rest: a quiet cohort shows days later what began on the first.
        """
        alarm = member.alarm
        if not group.may_hold(member):
            return False
        until = group.told_at + self.window
        if alarm.timestamp > group.opened_at + self.window * GROWTH or alarm.onset_timestamp > until:
            return False
        return alarm.timestamp <= until or alarm.onset_timestamp >= group.onset - self.window


@dataclass(frozen=True, slots=True)
class Group:
    """An incident as the decision sees it: its alarms so far."""

    number: int
    opened_at: datetime  # when its first alarm was decided
    first_alert: datetime | None  # when its first alert was
    onset: datetime  # its earliest member's
    models: frozenset[str]
    came: bool  # whether the policy model of a member came shortly before an onset
    members: tuple[StoredAlarm, ...]

    @classmethod
    def of(cls, number: int, member: StoredAlarm) -> Group:
        alarm = member.alarm
        return cls(
            number=number,
            opened_at=alarm.timestamp,
            first_alert=alarm.timestamp if alarm.severity is Severity.ALERT else None,
            onset=alarm.onset_timestamp,
            models=frozenset({model_of(member)}),
            came=member.policy_since is not None,
            members=(member,),
        )

    @property
    def told_at(self) -> datetime:
        """When its first alert was decided, or its first alarm where it holds none: before that nobody was paged."""
        return self.opened_at if self.first_alert is None else self.first_alert

    def is_live_before(self, member: StoredAlarm, alerts: Mapping[Hashable, int]) -> bool:
        """Say whether an alarm of it had not ended at the place of *member*, whatever has ended since.

        *alerts* has the place of each episode's alert, which ends its warning. What was superseded without one was
        so by a baseline or another scorer: alarms of before, filed late, count each other as live.
        """
        place, history = member.alarm.place, member.state is AlarmState.SUPERSEDED
        for other in self.members:
            ended = other.recovered_place
            if other.state is AlarmState.SUPERSEDED and ended is None:
                ended = place if history else None
            if other.alarm.severity is Severity.WARNING and not other.state.is_live:
                ended = alerts.get(episode_of(other), ended)
            if other.state.is_live or (ended is not None and ended >= place):
                return True
        return False

    def may_hold(self, member: StoredAlarm) -> bool:
        """Say whether *member* is of its kind, under its baseline, and of one of its policy models or their successor.

        Two models that have both been there for long are served side by side, and have causes of their own.
        """
        first, alarm = self.members[0], member.alarm
        if family_of(first.alarm.kind) is not family_of(alarm.kind) or first.baseline_id != member.baseline_id:
            return False
        model = model_of(member)
        succeeds = self.came or member.policy_since is not None
        return succeeds or ALL in {model, *self.models} or model in self.models

    def closeness(self, member: StoredAlarm) -> tuple[timedelta, bool, int]:
        """Order the incidents that *member* fits: by how near their onsets lie, then the older first."""
        return abs(self.onset - member.alarm.onset_timestamp), self.number < 0, abs(self.number)

    def welcome(self, member: StoredAlarm) -> StoredAlarm:
        """Return *member* as it joins: what somebody has seen, or snoozed, covers it as well.

        Unless it is more urgent than all they saw, or of a policy model that they did not see: it is open then.
        """
        if member.state is not AlarmState.OPEN or any(map(pages, reversed(self.members))):
            return member
        live = [other for other in self.members if other.state.is_live]
        if not live or state_of(live) is AlarmState.OPEN:
            return member
        seen = max(RANK[severity_of(other)] for other in live)
        if RANK[severity_of(member)] > seen or model_of(member) not in self.models | {ALL}:
            return member
        like = next(other for other in live if other.state is state_of(live))
        return replace(member, state=like.state, acknowledged_by=like.acknowledged_by, snoozed_until=like.snoozed_until)

    def with_member(self, member: StoredAlarm) -> Group:
        own = Group.of(self.number, member)
        alerts = [at for at in (self.first_alert, own.first_alert) if at is not None]
        return Group(
            number=self.number,
            opened_at=min(self.opened_at, own.opened_at),
            first_alert=min(alerts, default=None),
            onset=min(self.onset, own.onset),
            models=self.models | own.models,
            came=self.came or own.came,
            members=(*self.members, member),
        )


def model_of(member: StoredAlarm) -> str:
    """Return the policy model that an alarm is about; the anchor set's is about the scorer, and so about all."""
    stream = member.alarm.stream
    return ALL if stream.signal == ANCHOR_REWARD.name else stream.policy_model


def order_of(member: StoredAlarm) -> tuple[object, ...]:
    """Return what alarms are filed by: the log's order; of one place the warning first, then the roll-up."""
    alarm = member.alarm
    kinds = list(AlarmKind)
    return (
        alarm.place,
        alarm.timestamp,
        RANK[alarm.severity],
        alarm.stream.cohort != ALL,
        kinds.index(alarm.kind),
        alarm.stream,
        alarm.episode,
    )
