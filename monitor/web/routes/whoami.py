"""Who asks, and what answers."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from monitor import __version__
from monitor.domain.order import Role
from monitor.web.auth import Gatekeeper, Known

router = APIRouter(tags=["access"])


class WhoAmI(BaseModel):
    name: str
    role: Role
    session: bool = Field(False, description="known by a session: they can log out")
    version: str = Field(description="of the monitor that answers")


@router.get("/whoami")
def whoami(request: Request, actor: Known) -> WhoAmI:
    """Return the name and the role of whoever asks."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    session = "authorization" not in request.headers and gatekeeper.session_of(request) is not None
    return WhoAmI(name=actor.name, role=actor.role, session=session, version=__version__)
