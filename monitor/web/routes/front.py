"""What the console's first page shows: counts, incidents by urgency, and cohorts by signals."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Query, Response
from pydantic import StringConstraints

from monitor.domain.alarm import AlarmState
from monitor.domain.finding import IncidentBoard
from monitor.domain.view import Overview
from monitor.drift.heatmap import CellState, Heatmap, View
from monitor.web.auth import Viewer
from monitor.web.feed import EventStream, Feed
from monitor.web.problem import describe
from monitor.web.state import kept

router = APIRouter(prefix="/overview", tags=["overview"])

MAX_NAME_CHARACTERS = 600  # more than any name has
_STREAM = {"schema": {"type": "string"}, "example": 'event: changed\ndata: {"jobs": "5f2b", "counts": "77d0"}\n\n'}
EVENTS: dict[int | str, dict[str, Any]] = {
    **describe(503),
    200: {"description": "events until the client goes", "content": {"text/event-stream": _STREAM}},
}
LIVE = tuple(state for state in AlarmState if state.is_live)
Name = Annotated[str, StringConstraints(max_length=MAX_NAME_CHARACTERS)]


def view_of(
    *,
    signal: Annotated[Sequence[Name], Query(max_length=100, description="these signals alone; all without")] = (),
    state: Annotated[Sequence[CellState], Query(max_length=20, description="cohorts in one of these states")] = (),
    cohort: Annotated[Name, Query(description="text in the cohort's name, whatever its case")] = "",
    model: Annotated[Name, Query(description="streams of this policy model alone")] = "",
    retired: Annotated[bool, Query(description="with series that nothing comes to any more")] = False,
    page: Annotated[int, Query(ge=1, le=1_000_000, description="of cohorts, from 1")] = 1,
    size: Annotated[int, Query(ge=1, le=200, description="cohorts on a page")] = 40,
) -> View:
    return View(frozenset(signal), frozenset(state), cohort, model, retired=retired, page=page, size=size)


Asked = Annotated[View, Depends(view_of)]


class Overviews(Protocol):
    def overview(self) -> Overview: ...


class Boards(Protocol):
    def board(self, *, states: Collection[AlarmState], limit: int) -> IncidentBoard:
        """Return the first *limit* incidents of each urgency among those in *states*, with what their alarms found."""
        ...


class Versions(Protocol):
    def versions(self) -> Mapping[str, str]:
        """Return a text for each part of what the console shows; it differs once that part has changed."""
        ...


class Heatmaps(Protocol):
    def heatmap(self, view: View) -> Heatmap: ...


@router.get("")
def get_overview(_: Viewer, overview: Annotated[Overviews, kept("overview")]) -> Overview:
    """Return the counts over everything stored, and how far the fold is behind."""
    return overview.overview()


@router.get("/changes", response_class=Response, responses=EVENTS)
async def follow_changes(_: Viewer, feed: Annotated[Feed, kept("feed")]) -> Response:
    """Stream what changes, as server-sent events: an event `changed` names each part with its version.

    The first one names them all, a later one those that have changed since: `counts`, `incidents`, `streams`, `jobs`,
    `models` and `health`. An event `away` says that the database cannot be asked. A comment comes after 15 seconds of
    silence. A stream ends after ten minutes, and may be opened again. A process has room for 64 of them; where they are
    taken the answer is 503, and asking again does.
    """
    return EventStream(feed)


@router.get("/incidents")
def get_board(
    _: Viewer,
    boards: Annotated[Boards, kept("boards")],
    limit: Annotated[int, Query(ge=1, le=200, description="incidents of each urgency")] = 20,
    ended: Annotated[bool, Query(description="those that ended too")] = False,
) -> IncidentBoard:
    """Return the incidents by urgency, what each has found, and how many there are.

    One finding is a thing that moved in one way; its alarm of all cohorts leads, and `others` counts further cohorts.
    """
    return boards.board(states=tuple(AlarmState) if ended else LIVE, limit=limit)


@router.get("/heatmap", response_model_exclude_defaults=True)
def get_heatmap(_: Viewer, heatmaps: Annotated[Heatmaps, kept("heatmaps")], view: Asked) -> Heatmap:
    """Return cohorts by signals, a page at a time: those with open alarms first, then those with the most evidence.

    A cell is its cohort's most telling stream of a signal; `others` counts the rest. Its `effect` is that of its alarm
    since the onset where it has one, else the mean less the baseline's, in the column's `unit`. `evidence` is
    log e / log A: at 1 a stream alarms. What a cell leaves out has its usual value: no alarm, steady, not quiet, not
    retired. Numbers are rounded; `/api/v1/streams` has them all.
    """
    return heatmaps.heatmap(view)
