"""Who may ask for what: the roles of a token's holder and the orders an operator gives a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from monitor.domain.job import JobState


class Role(StrEnum):
    """Each role may do all that the ones before it may."""

    VIEWER = "viewer"  # reads
    ANNOTATOR = "annotator"  # labels
    OPERATOR = "operator"  # changes what the daemon does

    def covers(self, wanted: Role) -> bool:
        roles = list(Role)
        return roles.index(self) >= roles.index(wanted)


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


_S = JobState
ORDERS: Mapping[JobState, Mapping[JobOrder, JobState]] = {
    _S.AWAITING_APPROVAL: {JobOrder.APPROVE: _S.QUEUED, JobOrder.REJECT: _S.CANCELLED},
    _S.QUEUED: {JobOrder.CANCEL: _S.CANCELLED},
    _S.LEASED: {JobOrder.CANCEL: _S.CANCELLED},
    _S.RUNNING: {JobOrder.CANCEL: _S.CANCELLED},
    _S.EVALUATING: {JobOrder.CANCEL: _S.CANCELLED},
    _S.PASSED: {JobOrder.APPROVE: _S.PROMOTED, JobOrder.REJECT: _S.CANCELLED},  # where promotion is manual
    _S.PROMOTED: {JobOrder.ROLLBACK: _S.ROLLED_BACK},
}


def allowed_orders(state: JobState) -> tuple[JobOrder, ...]:
    """Return the orders a job in *state* can follow, in the order of the enum."""
    return tuple(order for order in JobOrder if order in ORDERS.get(state, {}))
