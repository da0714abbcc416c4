"""Baselines: every one there was, and the next one, looked at before it is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from monitor.domain.baseline import BaselineQuery, TraceWindow
from monitor.domain.order import Actor
from monitor.domain.view import BaselineSummary
from monitor.drift.preview import FreezePreview
from monitor.drift.summary import BaselineLaws
from monitor.errors import NotFound
from monitor.web.auth import Operator, Viewer
from monitor.web.paging import LINK, NumberedPage
from monitor.web.problem import describe
from monitor.web.routes.alarm import Note
from monitor.web.routes.trace import Name
from monitor.web.state import MAX_NUMBER, Number, kept

router = APIRouter(tags=["baselines"])
MAX_WINDOW_TRACES = 200_000  # that one request may freeze; the terminal has time for more


class Freezes(Protocol):
    def baselines(self, wanted: BaselineQuery, *, limit: int, before: int | None = None) -> Sequence[BaselineSummary]:
        """Return the newest first, those numbered below *before* where it is given."""
        ...

    def summary(self, baseline_id: int) -> BaselineSummary | None: ...

    def laws_of(self, baseline_id: int) -> BaselineLaws | None: ...

    def preview(self, window: TraceWindow) -> FreezePreview:
        """Build the baseline and throw it away; refused as `freeze` is."""
        ...

    def freeze(
        self, window: TraceWindow, *, actor: Actor, note: str = "", instead_of: int | None = None
    ) -> BaselineSummary:
        """Make a new baseline the active one; it is kept in the audit.

        Raises `InvalidInput` for what is no window, and `Conflict` where its traces are not stored, where another
        baseline is being built or, if *instead_of* is given, another one than that is active.
        """
        ...


FreezesPort = Annotated[Freezes, kept("freezes")]
_Count = Annotated[int, Field(ge=1, le=MAX_WINDOW_TRACES)]
_Index = Annotated[int, Field(ge=0, le=MAX_NUMBER)]
_NUMBER: JsonDict = {"type": "integer"}
_NULL: JsonDict = {"type": "null"}


_ONE_WAY: JsonDict = {  # to say which traces
    "anyOf": [
        {"required": ["last"], "properties": {"last": _NUMBER, "first": _NULL, "stop": _NULL}},
        {"required": ["first"], "properties": {"first": _NUMBER, "last": _NULL}},
    ]
}


class Window(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"last": 5000}], **_ONE_WAY})

    last: _Count | None = Field(None, description="the last N traces")
    first: _Index | None = Field(None, description="instead: the number of the first trace, from 0")
    stop: _Index | None = Field(None, description="with `first`: the number behind the last trace; else all there are")

    def traces(self) -> TraceWindow:
        return TraceWindow(self.last, self.first, self.stop)


class Freeze(Window):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"last": 5000, "note": "after release 12", "instead_of": 3}], **_ONE_WAY},
    )

    note: Note = Field("", description="why this window")
    instead_of: _Index | None = Field(
        None, description="refuse with 409 unless this baseline is the active one: the preview named it"
    )


@dataclass(frozen=True, slots=True)
class BaselinePage:
    baseline: BaselineSummary
    laws: BaselineLaws


@router.get("/baselines", responses={200: {"headers": LINK}})
def list_baselines(
    _: Viewer,
    freezes: FreezesPort,
    page: NumberedPage,
    *,
    signal: Name = None,
    policy_model: Name = None,
    cohort: Name = None,
) -> Sequence[BaselineSummary]:
    """List every baseline, the newest first; one is active.

    With filters, those of which one law is of all that they name. `*` is the law for policy models that the window
    never saw.
    """
    wanted = BaselineQuery(signal, policy_model, cohort)
    return page.give(freezes.baselines(wanted, limit=page.wanted, before=page.after), lambda row: row.baseline_id)


@router.get("/baselines/{baseline_id:int}", responses=describe(404))
def get_baseline_by_number(_: Viewer, freezes: FreezesPort, baseline_id: Number) -> BaselinePage:
    """Return one baseline and what it expects of each signal."""
    summary, laws = freezes.summary(baseline_id), freezes.laws_of(baseline_id)
    if summary is None or laws is None:
        raise NotFound(f"there is no baseline {baseline_id}: /api/v1/baselines lists them")
    return BaselinePage(summary, laws)


@router.post("/baselines/preview", responses=describe(409))
def preview_freeze(_: Operator, freezes: FreezesPort, body: Window) -> FreezePreview:
    """Return what freezing a window would change, and change nothing.

    It says which laws and cohorts would come and go, how each mean would move, and how many live alarms would be
    superseded. A law that `comes_later` is added by itself, once enough labels, probes or users told of it.
    """
    return freezes.preview(body.traces())


@router.post("/baselines", status_code=201, responses=describe(409))
def freeze_baseline(actor: Operator, freezes: FreezesPort, body: Freeze) -> BaselineSummary:
    """Freeze a baseline from a window of traces; it is the active one from now on.

    Live alarms against the one before are superseded, and all evidence begins again.
    """
    return freezes.freeze(body.traces(), actor=actor, note=body.note, instead_of=body.instead_of)
