"""Deleting somebody's texts, and the record of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from monitor.domain.erasure import Erasure, ErasureSubject, SubjectKind
from monitor.domain.order import Actor
from monitor.web.auth import Operator
from monitor.web.problem import describe
from monitor.web.state import Limit, kept

router = APIRouter(tags=["privacy"])


class Erasures(Protocol):
    """An erasure writes its record and its row of the audit table in the transaction that deletes."""

    def count(self, subject: ErasureSubject, *, actor: Actor) -> Erasure: ...

    def erase(self, subject: ErasureSubject, *, actor: Actor) -> Erasure:
        """Raise `Conflict` while a run that was given the texts is going on."""
        ...

    def erasures(self, *, limit: int) -> Sequence[Erasure]:
        """Return the newest first."""
        ...


Port = Annotated[Erasures, kept("erasures")]


class ErasureOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: SubjectKind
    name: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00]*$")] = Field(
        description="the id, as traces have it; it is not kept"
    )
    dry_run: bool = Field(False, description="count what would go, and delete nothing")


@router.post("/erasures", responses=describe(409))
def erase(order: ErasureOrder, erasures: Port, actor: Operator) -> Erasure:
    """Delete the texts of a conversation or a user wherever they stand; counts and totals stay."""
    subject = ErasureSubject(order.kind, order.name)
    return erasures.count(subject, actor=actor) if order.dry_run else erasures.erase(subject, actor=actor)


@router.get("/erasures")
def list_erasures(erasures: Port, _: Operator, limit: Limit = 50) -> Sequence[Erasure]:
    """List the newest erasures; of a name its SHA-256 is kept."""
    return erasures.erasures(limit=limit)
