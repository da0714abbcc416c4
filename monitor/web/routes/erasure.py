"""Deleting somebody's texts, and the record of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from monitor.domain.erasure import Erasure, ErasureSubject, SubjectKind
from monitor.domain.order import Actor
from monitor.web.auth import Operator
from monitor.web.paging import LINK, Numbered, paged
from monitor.web.problem import describe
from monitor.web.state import kept

router = APIRouter(tags=["privacy"])


class Erasures(Protocol):
    """An erasure writes its record and its row of the audit table in the transaction that deletes."""

    def count(self, subject: ErasureSubject, *, actor: Actor) -> Erasure: ...

    def erase(self, subject: ErasureSubject, *, actor: Actor) -> Erasure:
        """Raise `Conflict` while a run that was given the texts is going on."""
        ...

    def erasures(self, *, limit: int, before: int | None = None) -> Sequence[Erasure]:
        """Return the newest first, those numbered below *before* where it is given."""
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


@router.get("/erasures", responses={200: {"headers": LINK}})
def list_erasures(erasures: Port, _: Operator, page: Annotated[Numbered, paged(int, 50)]) -> Sequence[Erasure]:
    """List erasures, the newest first; of a name its SHA-256 is kept."""
    return page.give(erasures.erasures(limit=page.wanted, before=page.after), lambda row: row.erasure_id or 0)
