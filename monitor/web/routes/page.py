"""The console and the annotator's page; what they show they fetch from the API."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel

from monitor import __version__
from monitor.domain.order import Role
from monitor.runs.action import ACTIONS
from monitor.web.auth import Gatekeeper, Known
from monitor.web.routes.review import MAX_NOTE_CHARACTERS

CONSOLE = Path(__file__).parent.parent / "console"

router = APIRouter()
_templates = Jinja2Templates(directory=CONSOLE / "templates")


class WhoAmI(BaseModel):
    name: str
    role: Role


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
def console(request: Request) -> Response:
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    context = {"version": __version__, "wants_token": gatekeeper.wants_token, "actions": list(ACTIONS)}
    return _templates.TemplateResponse(request, "console.html", context)


@router.get("/review", response_class=HTMLResponse, include_in_schema=False)
def review(request: Request) -> Response:
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    context = {"wants_token": gatekeeper.wants_token, "note_characters": MAX_NOTE_CHARACTERS}
    return _templates.TemplateResponse(request, "review.html", context)


@router.get("/api/v1/whoami", tags=["access"])
def whoami(actor: Known) -> WhoAmI:
    return WhoAmI(name=actor.name, role=actor.role)
