"""Stored traces: found by id, cohort, model and time, and read by those who may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter, HTTPException, Path, Query

from monitor.domain.order import Actor, Role
from monitor.domain.stored_trace import FoundTraces, TraceDetail, TracePlace, TraceQuery, TraceRow
from monitor.errors import NotFound
from monitor.ingest.formats.native import MAX_NAME_CHARACTERS
from monitor.web.auth import Viewer
from monitor.web.paging import LINK, Page, paged
from monitor.web.problem import describe
from monitor.web.state import Instant, kept

router = APIRouter(tags=["traces"])
STORABLE = r"^[^\x00]*$"


class Traces(Protocol):
    def traces(self, query: TraceQuery, *, limit: int, after: TracePlace | None = None) -> FoundTraces:
        """Return up to *limit* traces that came before *after*, newest first; fewer does not mean that none follow."""
        ...

    def trace(self, trace_id: str) -> TraceDetail | None:
        """Return one trace without its text; None where it is unknown or forgotten."""
        ...

    def read(self, trace_id: str, *, actor: Actor) -> TraceDetail | None:
        """Return one trace with its text, and keep in the audit who read it."""
        ...


TracesPort = Annotated[Traces, kept("traces")]
Name = Annotated[
    str | None,
    Query(min_length=1, max_length=MAX_NAME_CHARACTERS, pattern=STORABLE, description="whole; all without it"),
]
Moment = Annotated[Instant | None, Query(description="of the traces' own time, with its offset: 2026-11-22T03:00:00Z")]
TraceId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
        pattern=STORABLE,
        description="as the producer gave it",
        examples=["t-2843"],
    ),
]


@router.get("/traces", responses={200: {"headers": LINK}})
def list_traces(
    _: Viewer,
    traces: TracesPort,
    page: Annotated[Page[TracePlace], paged(TracePlace, 100)],
    *,
    trace_id: Name = None,
    cohort: Name = None,
    policy_model: Name = None,
    since: Moment = None,
    until: Moment = None,
) -> Sequence[TraceRow]:
    """List traces, the newest to come first; `until` is exclusive. No text is in it.

    What came more than two days before `since` is left out, whatever time it claims. A page looks through 20,000
    traces at most: it may hold fewer than `limit`, or none, and still have a `next` link.
    """
    query = TraceQuery(trace_id, cohort, policy_model, since, until)
    found = traces.traces(query, limit=page.limit, after=page.after)
    if found.goes_on_behind is not None:
        page.link(found.goes_on_behind)
    return found.traces


@router.get("/traces/{trace_id:name}", responses=describe(404))
def get_trace(
    actor: Viewer,
    traces: TracesPort,
    trace_id: TraceId,
    text: Annotated[bool, Query(description="with what was said; operators alone, and the audit keeps it")] = False,
) -> TraceDetail:
    """Return one trace with its scores and the values of its signals."""
    if text and not actor.role.covers(Role.OPERATOR):
        raise HTTPException(403, f"your token has the role {actor.role.value!r}: text=true wants the role 'operator'")
    found = traces.read(trace_id, actor=actor) if text else traces.trace(trace_id)
    if found is None:
        raise NotFound(
            f"there is no trace {trace_id!r}: it never came, or is older than retention.text_days; /api/v1/traces"
            " lists those that are kept"
        )
    return found
