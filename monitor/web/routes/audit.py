"""The audit: who changed what, and who read texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter, Query

from monitor.domain.audit import AuditQuery, AuditRow
from monitor.web.auth import Operator
from monitor.web.paging import LINK, NumberedPage
from monitor.web.routes.trace import STORABLE
from monitor.web.state import Instant, kept

router = APIRouter(tags=["audit"])
MAX_CHARACTERS = 1000


class AuditLog(Protocol):
    def audit(self, wanted: AuditQuery, *, limit: int, before: int | None = None) -> Sequence[AuditRow]:
        """Return the newest rows first, those numbered below *before* where it is given."""
        ...


@router.get("/audit", responses={200: {"headers": LINK}})
def list_audit(
    _: Operator,
    log: Annotated[AuditLog, kept("audit")],
    page: NumberedPage,
    *,
    actor: Annotated[str | None, Query(max_length=MAX_CHARACTERS, pattern=STORABLE, description="who it was")] = None,
    action: Annotated[
        str | None,
        Query(max_length=MAX_CHARACTERS, pattern=STORABLE, description="whole, or all that begin with it: alarm"),
    ] = None,
    subject: Annotated[
        str | None, Query(max_length=MAX_CHARACTERS, pattern=STORABLE, description="such as `alarm 7`")
    ] = None,
    since: Annotated[Instant | None, Query(description="inclusive")] = None,
    until: Annotated[Instant | None, Query(description="exclusive")] = None,
) -> Sequence[AuditRow]:
    """List who changed what, and who read the text of a trace; the newest first."""
    wanted = AuditQuery(actor, action, subject, since, until)
    return page.give(log.audit(wanted, limit=page.wanted, before=page.after), lambda row: row.audit_id)
