"""Who is told of incidents, and how that goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter

from monitor.notify.notice import ReceiverStatus
from monitor.web.auth import Viewer
from monitor.web.paging import LINK, WholePage, span
from monitor.web.state import kept

router = APIRouter(tags=["notifications"])


class Notified(Protocol):
    def receivers_told(self) -> Sequence[ReceiverStatus]:
        """Return the receivers of the settings, in their order, and what each has not taken yet."""
        ...


NotifiedPort = Annotated[Notified, kept("notified")]


@router.get("/notifications", responses={200: {"headers": LINK}})
def list_receivers(_: Viewer, notified: NotifiedPort, page: WholePage) -> Sequence[ReceiverStatus]:
    """List who is told of incidents; `waiting` counts messages that were tried and not taken, `error` says why.

    `notices` has those messages, `failing_since` when the oldest that failed was first tried. A message that was
    `refused` is not tried again before a daemon starts anew.
    """
    return span(page, notified.receivers_told())
