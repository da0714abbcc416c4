"""Who may ask for what: the roles of a token's holder and the orders an operator gives a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from monitor.domain.alarm import AlarmState
from monitor.domain.job import JobState
from monitor.errors import Conflict


class Role(StrEnum):
    VIEWER = "viewer"  # reads all but the review queue
    ANNOTATOR = "annotator"  # labels, and sees nothing else: what the monitor finds must not sway a verdict
    OPERATOR = "operator"  # changes what the daemon does, and may do what the others may

    def covers(self, wanted: Role) -> bool:
        return self in {wanted, Role.OPERATOR}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks; the name goes into the audit table."""

    name: str
    role: Role


class JobOrder(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"
    ROLLBACK = "rollback"
    KEEP = "keep"  # what was promoted, and whose bake window is open


_S = JobState
ORDERS: Mapping[JobState, Mapping[JobOrder, JobState]] = {
    _S.AWAITING_APPROVAL: {JobOrder.APPROVE: _S.QUEUED, JobOrder.REJECT: _S.CANCELLED},
    _S.QUEUED: {JobOrder.CANCEL: _S.CANCELLED},
    _S.LEASED: {JobOrder.CANCEL: _S.CANCELLED},
    _S.RUNNING: {JobOrder.CANCEL: _S.CANCELLED},
    _S.EVALUATING: {JobOrder.CANCEL: _S.CANCELLED},
    _S.PASSED: {JobOrder.APPROVE: _S.PROMOTED, JobOrder.REJECT: _S.CANCELLED},  # where promotion is manual
    _S.PROMOTED: {JobOrder.ROLLBACK: _S.ROLLED_BACK, JobOrder.KEEP: _S.PROMOTED},
}


def allowed_orders(state: JobState, *, baking: bool = False) -> tuple[JobOrder, ...]:
    """Return the orders a job in *state* can follow, in the order of the enum; *baking*: its bake window is open."""
    known = ORDERS.get(state, {})
    return tuple(order for order in JobOrder if order in known and (baking or order is not JobOrder.KEEP))


class AlarmOrder(StrEnum):
    """What people do to an alarm, or to an incident and so to all its alarms that are live."""

    ACKNOWLEDGE = "acknowledge"
    SNOOZE = "snooze"  # until a time
    REOPEN = "reopen"


_A = AlarmState
ALARM_ORDERS: Mapping[AlarmState, Mapping[AlarmOrder, AlarmState]] = {
    _A.OPEN: {AlarmOrder.ACKNOWLEDGE: _A.ACKNOWLEDGED, AlarmOrder.SNOOZE: _A.SNOOZED},
    _A.ACKNOWLEDGED: {AlarmOrder.SNOOZE: _A.SNOOZED, AlarmOrder.REOPEN: _A.OPEN},
    _A.SNOOZED: {
        AlarmOrder.ACKNOWLEDGE: _A.ACKNOWLEDGED,
        AlarmOrder.SNOOZE: _A.SNOOZED,  # until another time
        AlarmOrder.REOPEN: _A.OPEN,
    },
}


def target_of(what: str, state: AlarmState, order: AlarmOrder) -> AlarmState:
    """Return the state that *order* leads to; raise `Conflict` naming *what* where *state* does not allow it."""
    target = ALARM_ORDERS.get(state, {}).get(order)
    if target is None:
        allowing = " or ".join(state for state, orders in ALARM_ORDERS.items() if order in orders)
        raise Conflict(f"{what} is {state}; {order} wants one that is {allowing}")
    return target
