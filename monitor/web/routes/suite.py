"""Probes of the live model: the suites, their last runs and their rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter

from monitor.probes.report import SuiteReport
from monitor.web.auth import Viewer
from monitor.web.paging import LINK, WholePage, span
from monitor.web.state import kept

router = APIRouter(tags=["probes"])


class Probes(Protocol):
    def reports(self) -> Sequence[SuiteReport]: ...


@router.get("/probes", responses={200: {"headers": LINK}})
def list_probes(_: Viewer, probes: Annotated[Probes, kept("probes")], page: WholePage) -> Sequence[SuiteReport]:
    """List each suite with its last run and its rates, 0 to 1, with 95% intervals.

    `unavailable` is the state of a run that the endpoint did not answer: it tells nothing of the model. The rate of
    sycophancy is the share of answers that go with the asker's view: one half is "not swayed".
    """
    return span(page, probes.reports())
