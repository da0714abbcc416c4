"""What is observed, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter

from monitor.domain.view import SignalRow
from monitor.web.auth import Viewer
from monitor.web.paging import LINK, WholePage, span
from monitor.web.state import kept

router = APIRouter(tags=["signals"])


class Signals(Protocol):
    def signals(self) -> Sequence[SignalRow]: ...


@router.get("/signals", responses={200: {"headers": LINK}})
def list_signals(_: Viewer, signals: Annotated[Signals, kept("signals")], page: WholePage) -> Sequence[SignalRow]:
    """List every signal that there is, be it on or off: what it means, and where it comes from.

    `failures` counts the traces for which one of `signals.own` had no value though it was asked for one, in the workers
    that run. `troubles` has the same by worker, with why it was the last time. Every replica answers alike.
    """
    return span(page, signals.signals())
