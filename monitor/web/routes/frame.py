"""The pages that share one frame, and fetch what they show from the API; a page's URL holds its view."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from monitor import __version__
from monitor.web.auth import Gatekeeper
from monitor.web.routes.listing import LISTINGS
from monitor.web.routes.page import TEMPLATES, entrance, number_of
from monitor.web.routes.stream import HistoriesPort

router = APIRouter()


@router.get("/streams", response_class=HTMLResponse, include_in_schema=False)
def find_stream(request: Request) -> Response:
    """Return a page that goes on to the stream whose `signal`, `cohort` and `model` the URL names."""
    return _framed(request, "find_stream.html")


@router.get("/streams/{stream_id}", response_class=HTMLResponse, include_in_schema=False)
def stream_page(request: Request, histories: HistoriesPort, stream_id: str) -> Response:
    """Return the page of one stream; 404 for an unknown one, except where the asker has not said who they are."""
    number, gatekeeper = number_of(stream_id), _gatekeeper(request)
    if number is None or not (gatekeeper.wants_token or histories.knows(number)):
        return TEMPLATES.TemplateResponse(request, "missing.html", {"kind": "stream"}, status_code=404)
    return _framed(request, "stream.html", number=number)


def listing_page(request: Request) -> Response:
    """Return the page of the listing that stands at this path."""
    return _framed(request, "listing.html", listing=LISTINGS[request.url.path])


for _path in LISTINGS:
    router.add_api_route(_path, listing_page, response_class=HTMLResponse, include_in_schema=False)


def _framed(request: Request, template: str, **more: object) -> Response:
    context = {**entrance(request), "version": __version__} | more
    return TEMPLATES.TemplateResponse(request, template, context)


def _gatekeeper(request: Request) -> Gatekeeper:
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    return gatekeeper
