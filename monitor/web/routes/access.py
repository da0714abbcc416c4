"""Who asks, and what answers."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from monitor import __version__
from monitor.domain.order import Role
from monitor.web.auth import Known

router = APIRouter(tags=["access"])


class WhoAmI(BaseModel):
    name: str
    role: Role
    version: str = Field(description="of the monitor that answers")


@router.get("/whoami")
def whoami(actor: Known) -> WhoAmI:
    """Return the name and the role of the token's holder."""
    return WhoAmI(name=actor.name, role=actor.role, version=__version__)
