"""The console and the annotator's page; what they show they fetch from the API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from monitor import __version__
from monitor.runs.action import ACTIONS
from monitor.web.auth import Gatekeeper
from monitor.web.routes.alarm import AlarmsPort, IncidentsPort
from monitor.web.routes.review import MAX_NOTE_CHARACTERS
from monitor.web.state import MAX_NUMBER

CONSOLE = Path(__file__).parent.parent / "console"

MAX_DIGITS = 16  # of MAX_NUMBER

router = APIRouter()
TEMPLATES = Jinja2Templates(directory=CONSOLE / "templates")


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
def console(request: Request) -> Response:
    context = {"version": __version__, **entrance(request), "actions": list(ACTIONS)}
    return TEMPLATES.TemplateResponse(request, "console.html", context)


@router.get("/review", response_class=HTMLResponse, include_in_schema=False)
def review(request: Request) -> Response:
    context = {**entrance(request), "note_characters": MAX_NOTE_CHARACTERS}
    return TEMPLATES.TemplateResponse(request, "review.html", context)


@router.get("/alarms/{alarm_id}", response_class=HTMLResponse, include_in_schema=False)
def alarm_page(request: Request, alarms: AlarmsPort, alarm_id: str) -> Response:
    """Return the page of one alarm; 404 for an unknown one, except where the asker has not said who they are."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    return _page_of(request, "alarm", alarm_id, lambda number: gatekeeper.wants_token or alarms.alarm(number))


@router.get("/incidents/{incident_id}", response_class=HTMLResponse, include_in_schema=False)
def incident_page(request: Request, incidents: IncidentsPort, incident_id: str) -> Response:
    """Return a page that goes on to the incident's leading alarm; an alert names incidents alone."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    return _page_of(
        request, "incident", incident_id, lambda number: gatekeeper.wants_token or incidents.incident(number)
    )


def entrance(request: Request) -> dict[str, object]:
    """Return how people come in, for the dialog that asks them."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    return {"wants_token": gatekeeper.wants_token, "has_login": request.app.state.login is not None}


def number_of(given: str) -> int | None:
    """Return the number in a page's path; None where nothing can have it."""
    number = int(given) if given.isascii() and given.isdecimal() and len(given) <= MAX_DIGITS else 0
    return number if 0 < number <= MAX_NUMBER else None


def _page_of(request: Request, kind: str, given: str, known: Callable[[int], object]) -> Response:
    number = number_of(given)
    context = {**entrance(request), "version": __version__, "kind": kind, "number": number}
    if number is None or not known(number):
        return TEMPLATES.TemplateResponse(request, "missing.html", context, status_code=404)
    return TEMPLATES.TemplateResponse(request, "alarm.html", context)
