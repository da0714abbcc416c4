"""The bake window: whether what is seen of a new version takes its promotion back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol

from monitor.domain.alarm import AlarmKind, Direction, ReferenceVerdict, ScorerVerdict, Severity, StoredAlarm
from monitor.domain.incident import NO_WAIT, RANK, VerdictWait
from monitor.domain.job import JobState
from monitor.domain.order import Actor
from monitor.domain.release import Bake, BakeState
from monitor.domain.signal import ANCHOR_REWARD, DISAGREEMENT, REWARD
from monitor.errors import Conflict
from monitor.retraining.records import Author
from monitor.retraining.release import Releases
from monitor.retraining.work import Transactions, UnitOfWork, lock_job
from monitor.runs.policy import POLICY

# Which way a policy gets better: its training meant that, so such an alarm takes nothing back.
BETTER: Mapping[str, Direction] = {
    REWARD.name: Direction.UP,
    DISAGREEMENT.name: Direction.DOWN,
    "reward_win": Direction.UP,
    "win_rate": Direction.UP,
    "live_win": Direction.UP,
    "reward_accuracy": Direction.UP,
    "refusal_accuracy": Direction.UP,
    "negative_feedback": Direction.DOWN,
    "truncation": Direction.DOWN,
    "error": Direction.DOWN,
    "over_refusal": Direction.DOWN,
    "harmful_compliance": Direction.DOWN,
    "sycophancy": Direction.DOWN,
}
_BY = Author("bake", "daemon")


@dataclass(frozen=True, slots=True)
class BakeRules:
    max_hours: float
    mode: Literal["automatic", "ask"]
    severity: Severity
    reference_wait: VerdictWait = NO_WAIT  # for whether the prompts alone moved
    scorer_wait: timedelta = timedelta(0)  # for whether the anchor set was scored otherwise; 0: there is none


@dataclass(frozen=True, slots=True)
class BakeDecision:
    state: BakeState
    reason: str | None = None
    alarm_id: int | None = None


def decide_bake(
    bake: Bake,
    alarms: Iterable[StoredAlarm],
    rules: BakeRules,
    now: datetime,
    *,
    former: Iterable[StoredAlarm] = (),
) -> BakeDecision:
    """Say where an open bake stands, given the live *alarms* on streams of its version.

    *former* are those that the version before had when it was replaced: going back to it mends none of them.
    An alarm that counts comes before the number of traces, and one that waits for its verdict holds the end back.
    """
    standing = BakeDecision(bake.state, bake.reason, bake.alarm_id)
    if bake.state is BakeState.ASKS:
        return standing
    waits, known = False, {_finding(member) for member in former}
    for member in sorted(alarms, key=lambda member: member.alarm_id):
        if _finding(member) in known or not blames(member, bake, rules):
            continue
        if waits_for_verdict(member, bake, rules, now):
            waits = True
            continue
        alarm = member.alarm
        found = f"{alarm.severity} {member.alarm_id}: {alarm.stream.signal} {alarm.direction or alarm.kind}"
        reason = f"{found} in {alarm.stream.cohort}, within {bake.traces_wanted} traces of {bake.version}"
        state = BakeState.ROLLED_BACK if rules.mode == "automatic" else BakeState.ASKS
        return BakeDecision(state, reason, member.alarm_id)
    if bake.traces_seen >= bake.traces_wanted:
        if waits:
            return standing
        return BakeDecision(BakeState.PASSED, f"{bake.traces_seen} traces of {bake.version} without an alarm")
    if now - bake.started_at >= timedelta(hours=rules.max_hours):
        seen = f"{bake.traces_seen} of {bake.traces_wanted} traces of {bake.observed_as}"
        return BakeDecision(BakeState.UNSEEN, f"{seen} came in {rules.max_hours:g} hours: is it served?")
    return standing


def _finding(member: StoredAlarm) -> tuple[object, ...]:
    """Return what two versions' alarms have in common where one cause raised both; a scorer's own is like no other."""
    alarm = member.alarm
    own = alarm.kind is not AlarmKind.DRIFT or alarm.stream.signal == ANCHOR_REWARD.name
    return (alarm.kind, alarm.stream) if own else (alarm.kind, alarm.stream.signal, alarm.direction)


def blames(member: StoredAlarm, bake: Bake, rules: BakeRules) -> bool:
    """Say whether an alarm counts against the version, as far as is known of its cause."""
    alarm = member.alarm
    on_version = (alarm.stream.policy_model if bake.role == POLICY else alarm.stream.scorer_version) == bake.observed_as
    if (
        not on_version
        or not member.state.is_live
        or alarm.place < bake.start_place
        or alarm.kind not in {AlarmKind.DRIFT, AlarmKind.SCORER_SILENT}
        or RANK[alarm.severity] < RANK[rules.severity]
        or member.reference_verdict is ReferenceVerdict.TRAFFIC_CHANGED
    ):
        return False
    if bake.role == POLICY:
        improved = alarm.direction is not None and alarm.direction is BETTER.get(alarm.stream.signal)
        return not improved and member.scorer_verdict is not ScorerVerdict.SCORER_CHANGED
    return member.scorer_verdict is not ScorerVerdict.POLICY_CHANGED


def waits_for_verdict(member: StoredAlarm, bake: Bake, rules: BakeRules, now: datetime) -> bool:
    """Say whether what caused an alarm may still be told."""
    if member.reference_verdict is ReferenceVerdict.ASKING or rules.reference_wait.holds((member,), now):
        return True
    told = {ScorerVerdict.SCORER_CHANGED, ScorerVerdict.POLICY_CHANGED}
    asked = member.alarm.stream.signal in {REWARD.name, DISAGREEMENT.name, "reward_win"}
    if not asked or member.scorer_verdict in told or member.alarm.stream.signal == ANCHOR_REWARD.name:
        return False
    return now - member.created_at < rules.scorer_wait


class BakeFacts(Protocol):
    """What is read of a bake, outside of the transaction that ends it."""

    def counted(self) -> tuple[Bake, ...]:
        """Count the traces that came since the last call; return the bakes that are open, with what was seen."""
        ...

    def alarms(self, bake: Bake) -> tuple[StoredAlarm, ...]:
        """Return the live alarms on streams of the bake's version that were decided since its start."""
        ...

    def former_alarms(self, bake: Bake) -> tuple[StoredAlarm, ...]:
        """Return the alarms that the version before had when it was replaced."""
        ...


class Baker:
    """A leader's loop body; each step is one transaction under the job's lock, so it is taken once."""

    def __init__(self, facts: BakeFacts, begin: Transactions, releases: Releases, rules: BakeRules) -> None:
        self._facts = facts
        self._begin = begin
        self._releases = releases
        self._rules = rules

    def turn(self, now: datetime) -> tuple[BakeDecision, ...]:
        """Return what was decided anew."""
        decided = []
        for bake in self._facts.counted():
            alarms, former = self._facts.alarms(bake), self._facts.former_alarms(bake)
            decision = decide_bake(bake, alarms, self._rules, now, former=former)
            if decision.state is not bake.state:
                decided.append(self._carry_out(bake, decision))
        return tuple(done for done in decided if done is not None)

    def _carry_out(self, bake: Bake, decision: BakeDecision) -> BakeDecision | None:
        """Take the step and return it; None where somebody took another one meanwhile."""
        with self._begin() as work:
            record = lock_job(work, bake.job_id)
            work.registry.hold()  # before the bake's row, as a promotion takes them
            if record.job.state is not JobState.PROMOTED or not _is_as(work, bake):
                return None
            reason = decision.reason or ""
            if decision.state is BakeState.ROLLED_BACK:
                try:
                    self._releases.roll_back(work, record, by=_BY, note=reason, alarm_id=decision.alarm_id)
                    return decision
                except Conflict as refusal:  # there is nobody to go back to
                    reason = f"{reason}; it cannot be taken back: {refusal}"
                    decision = replace(decision, state=BakeState.ASKS, reason=reason)
            work.bakes.end(bake.job_id, decision.state, reason=reason, alarm_id=decision.alarm_id)
            if decision.state is BakeState.PASSED:
                self._releases.settle(work, bake)
            return decision


def keep(work: UnitOfWork, releases: Releases, job_id: int, *, actor: Actor, note: str) -> None:
    """End a job's open bake on an operator's word; raise `Conflict` where it has none."""
    work.registry.hold()
    bake = work.bakes.of_job(job_id)
    if bake is None or not bake.state.is_open:
        raise Conflict(f"job {job_id} has no open bake window; keep wants a promotion that is in one")
    work.bakes.end(job_id, BakeState.KEPT, reason=note, alarm_id=bake.alarm_id)
    releases.settle(work, bake)
    by, detail = Author(actor.name, actor.role), {"note": note, "state": bake.state, "reason": bake.reason}
    work.audit.record("bake.keep", f"job {job_id}", by=by, detail=detail)


def _is_as(work: UnitOfWork, bake: Bake) -> bool:
    now = work.bakes.of_job(bake.job_id)
    return now is not None and now.state is bake.state
