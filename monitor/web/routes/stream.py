"""One stream's past."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Protocol

from fastapi import APIRouter, Query

from monitor.domain.history import HistoryRange
from monitor.drift.history import StreamHistory
from monitor.errors import NotFound
from monitor.web.auth import Viewer
from monitor.web.problem import describe
from monitor.web.state import Instant, Number, kept

router = APIRouter(tags=["drift"])


class Histories(Protocol):
    def knows(self, stream_id: int) -> bool: ...

    def history(self, stream_id: int, chosen: HistoryRange, *, until: datetime | None) -> StreamHistory | None:
        """Return a stream's past up to *until*, or to now; None where there is no such stream."""
        ...


HistoriesPort = Annotated[Histories, kept("histories")]


@router.get("/streams/{stream_id}/history", responses=describe(404))
def get_history(
    _: Viewer,
    histories: HistoriesPort,
    stream_id: Number,
    *,
    chosen: Annotated[HistoryRange, Query(alias="range", description="how much is told of")] = HistoryRange.DAY,
    until: Annotated[Instant | None, Query(description="where it ends, in the traces' time; without it now")] = None,
) -> StreamHistory:
    """Return a stream's mean and quantiles over time, its baseline's band, and what happened meanwhile.

    `/api/v1/streams` tells each stream's `stream_id`. A quantile is within 1 % of the value of its rank.
    """
    found = histories.history(stream_id, chosen, until=until)
    if found is None:
        raise NotFound(f"there is no stream {stream_id}: /api/v1/streams lists them")
    return found
