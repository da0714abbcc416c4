"""Rates that labels tell of all traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

from fastapi import APIRouter, Query

from monitor.errors import InvalidInput
from monitor.labels.report import LabelReport
from monitor.signals.estimand import ESTIMANDS
from monitor.web.auth import Viewer
from monitor.web.paging import LINK, WholePage, span
from monitor.web.state import kept

MAX_PAST_WEEKS = 26

router = APIRouter(tags=["labels"])


class Reports(Protocol):
    def reports(self, *, signal: str | None = None, past_weeks: int = 0) -> Sequence[LabelReport]:
        """Return what is told of *signal*, or of all that labels tell, with the weeks before."""
        ...


@router.get("/estimates", responses={200: {"headers": LINK}})
def list_estimates(
    _: Viewer,
    reports: Annotated[Reports, kept("estimates")],
    page: WholePage,
    *,
    signal: Annotated[
        str | None, Query(description="that labels tell; all without", json_schema_extra={"enum": [*ESTIMANDS]})
    ] = None,
    window: Annotated[Literal["day", "week", "release"] | None, Query(description="all of them without")] = None,
    cohort: Annotated[str | None, Query(max_length=1000, description="* for all cohorts together")] = None,
    policy_model: Annotated[str | None, Query(max_length=1000, description="its answers alone; all without")] = None,
    past_weeks: Annotated[int, Query(ge=0, le=MAX_PAST_WEEKS, description="before the last one, for a trend")] = 0,
) -> Sequence[LabelReport]:
    """Return what labels tell: estimates with intervals, how far the blocks are, and which labels do not count.

    An `estimate` of null says in `reason` what it lacks. `bounds` are the interval of the labels together with the
    cheap opinion on every trace, `classical` that of the labels alone, and `anytime` holds however often one looks.
    `opinion` is the rate as that opinion alone has it, which labels correct.
    Windows are whole UTC days; they end with the last day of which blocks are settled.
    """
    if signal is not None and signal not in ESTIMANDS:
        raise InvalidInput(f"query.signal = {signal!r}: labels do not tell it; name one of {', '.join(ESTIMANDS)}")
    found = reports.reports(signal=signal, past_weeks=past_weeks)
    shown = [report.only(window=window, cohort=cohort, policy_model=policy_model) for report in found]
    return span(page, shown)
