"""What annotators judge by, in versions: one is in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, StringConstraints

from monitor.domain.order import Actor
from monitor.domain.review import MAX_CRITERIA_CHARACTERS, MAX_VERSION_CHARACTERS, Criteria, KeptCriteria
from monitor.web.auth import Operator, Viewer
from monitor.web.paging import LINK, WholePage, span
from monitor.web.problem import describe
from monitor.web.state import kept

router = APIRouter(prefix="/review/criteria", tags=["review"])


class CriteriaVersions(Protocol):
    """Each change is kept in the audit."""

    def versions(self) -> Sequence[KeptCriteria]:
        """Return every version, the oldest first."""
        ...

    def add(self, criteria: Criteria, *, actor: Actor) -> None:
        """Keep a new version, not yet in force; raises `Conflict` where the version is there already."""
        ...

    def activate(self, version: str, *, actor: Actor) -> None:
        """Put *version* in force from now on; raises `NotFound`."""
        ...


_Version = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_VERSION_CHARACTERS, pattern=r"^[^\x00]*[^\x00-\x20][^\x00]*$"),
]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CRITERIA_CHARACTERS, pattern=r"^[^\x00]*$")]
CriteriaPort = Annotated[CriteriaVersions, kept("criteria")]


class NewCriteria(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: _Version
    text: _Text


class InForce(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: _Version


@router.get("", responses={200: {"headers": LINK}})
def list_criteria(_: Viewer, criteria: CriteriaPort, page: WholePage) -> Sequence[KeptCriteria]:
    """List every version with its text, the oldest first."""
    return span(page, criteria.versions())


@router.post("", status_code=201, responses=describe(409))
def add_criteria(actor: Operator, criteria: CriteriaPort, body: NewCriteria) -> Criteria:
    """Keep a new version; it is not in force yet."""
    new = Criteria(body.version, body.text)
    criteria.add(new, actor=actor)
    return new


@router.post("/activate", responses=describe(404))
def activate_criteria(actor: Operator, criteria: CriteriaPort, body: InForce) -> InForce:
    """Put a version in force: annotators see it from their next items on."""
    criteria.activate(body.version, actor=actor)
    return body
