"""Alarms and the incidents they make up."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Annotated, Protocol

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from monitor.domain.alarm import AlarmState, StoredAlarm
from monitor.domain.episode import AlarmPage, Compared
from monitor.domain.incident import Incident, IncidentDetail
from monitor.domain.order import Actor, AlarmOrder
from monitor.drift.curve import Curves
from monitor.drift.explain import Explanation
from monitor.errors import NotFound
from monitor.web.auth import Operator, Viewer
from monitor.web.paging import LINK, NumberedPage, WholePage, span
from monitor.web.problem import describe
from monitor.web.state import Number, kept

router = APIRouter(tags=["alarms"])


class Alarms(Protocol):
    def alarms(self, *, state: AlarmState | None, limit: int, before: int | None = None) -> Sequence[StoredAlarm]:
        """Return the newest alarms first; those in *state*, and numbered below *before*, where they are given."""
        ...

    def alarm(self, alarm_id: int) -> StoredAlarm | None: ...

    def order_alarm(
        self, alarm_id: int, order: AlarmOrder, *, actor: Actor, snooze: timedelta = timedelta(0), note: str = ""
    ) -> StoredAlarm:
        """Carry out *order* as `domain.order.ALARM_ORDERS` has it, *snooze* from now; it is kept in the audit.

        Raises `NotFound`, and `Conflict` where the alarm's state does not allow it.
        """
        ...


class AlarmPages(Protocol):
    def explanation(self, alarm_id: int) -> Explanation | None:
        """Make an alarm again from the log; None where there is no such alarm."""
        ...

    def page(self, alarm_id: int) -> AlarmPage | None:
        """Return what is said of an alarm; None where there is no such alarm."""
        ...

    def curves(self, alarm_id: int) -> Curves | None:
        """Draw an alarm from the log; None where there is no such alarm, or nothing to draw."""
        ...

    def answers(self, alarm_id: int) -> Sequence[Compared] | None:
        """Return telling answers with their texts beside the baseline's; None where there is no such alarm."""
        ...


class Incidents(Protocol):
    def incidents(self, *, states: Collection[AlarmState], limit: int, before: int | None = None) -> Sequence[Incident]:
        """Return the newest incidents first; those in one of *states*, unless that is empty.

        Where *before* is given, those numbered below it.
        """
        ...

    def incident(self, incident_id: int) -> IncidentDetail | None: ...

    def order_incident(
        self, incident_id: int, order: AlarmOrder, *, actor: Actor, snooze: timedelta = timedelta(0), note: str = ""
    ) -> IncidentDetail:
        """Carry out *order* on every live alarm of an incident; refused as `Alarms.order_alarm` is."""
        ...


class Reasks(Protocol):
    def reask(self, alarm_id: int, *, actor: Actor) -> int:
        """Let the leader ask an alarm's prompts again, and return how many it asks at most; it is kept in the audit.

        Raises `NotFound`, `Conflict` where that tells nothing of such an alarm, and `InvalidSetting` where the settings
        name nobody to ask.
        """
        ...


AlarmsPort = Annotated[Alarms, kept("alarms")]
PagesPort = Annotated[AlarmPages, kept("pages")]
IncidentsPort = Annotated[Incidents, kept("incidents")]
States = Annotated[Sequence[AlarmState], Query(description="only those in one of these states; all without")]


Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Asked(BaseModel):
    alarm_id: int
    max_prompts: int = Field(description="that are asked at most, beside those that were")


class Noted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    note: Note = Field("", description="why, for whoever reads the history")


class Snooze(Noted):
    seconds: int = Field(ge=60, le=30 * 86_400, description="from now; what is still there then is open again")


@router.get("/alarms", responses={200: {"headers": LINK}})
def list_alarms(
    _: Viewer,
    alarms: AlarmsPort,
    page: NumberedPage,
    state: Annotated[AlarmState | None, Query(description="only those in this state; all without")] = None,
) -> Sequence[StoredAlarm]:
    """List alarms, the newest first."""
    found = alarms.alarms(state=state, limit=page.wanted, before=page.after)
    return page.give(found, lambda alarm: alarm.alarm_id)


@router.get("/alarms/{alarm_id}", responses=describe(404))
def get_alarm(_: Viewer, alarms: AlarmsPort, alarm_id: Number) -> StoredAlarm:
    alarm = alarms.alarm(alarm_id)
    if alarm is None:
        raise NotFound(f"there is no alarm {alarm_id}: /api/v1/alarms lists them")
    return alarm


@router.get("/alarms/{alarm_id}/explanation", responses=describe(404))
def get_explanation(_: Viewer, pages: PagesPort, alarm_id: Number) -> Explanation:
    """Return what decided, what it had to exceed, and who contributed, made again from the log.

    A decision long after its baseline is not folded again from the beginning, so its evidence is not counted again:
    `alarms explain` at the terminal does that.
    """
    found = pages.explanation(alarm_id)
    if found is None:
        raise NotFound(f"there is no alarm {alarm_id}: /api/v1/alarms lists them")
    return found


@router.get("/alarms/{alarm_id}/page", responses=describe(404))
def get_alarm_page(_: Viewer, pages: PagesPort, alarm_id: Number) -> AlarmPage:
    """Return an alarm in one sentence, what happened around it, and the jobs it started.

    Of an event `at` is the clock on the wall, and `trace_time` the traces' own; null where there is no such time.
    """
    found = pages.page(alarm_id)
    if found is None:
        raise NotFound(f"there is no alarm {alarm_id}: /api/v1/alarms lists them")
    return found


@router.get("/alarms/{alarm_id}/curves", responses=describe(404))
def get_curves(_: Viewer, alarms: AlarmsPort, pages: PagesPort, alarm_id: Number) -> Curves | None:
    """Return what a page draws of an alarm, by place in the log; null where nothing can be drawn of it.

    A curve has at most about 120 points, over 20,000 places at most. The evidence is the stream folded again.
    """
    if alarms.alarm(alarm_id) is None:
        raise NotFound(f"there is no alarm {alarm_id}: /api/v1/alarms lists them")
    return pages.curves(alarm_id)


@router.get("/alarms/{alarm_id}/answers", responses={**describe(404), 200: {"headers": LINK}})
def list_answers(_: Operator, pages: PagesPort, alarm_id: Number, page: WholePage) -> Sequence[Compared]:
    """List the most telling answers since the onset beside the baseline's to prompts like theirs.

    For operators alone: it shows what users asked, as redaction has left it, 4,000 characters of each text.
    """
    found = pages.answers(alarm_id)
    if found is None:
        raise NotFound(f"there is no alarm {alarm_id}: /api/v1/alarms lists them")
    return span(page, found)


@router.post("/alarms/{alarm_id}/acknowledge", responses=describe(404, 409))
def acknowledge_alarm(actor: Operator, alarms: AlarmsPort, alarm_id: Number, body: Noted | None = None) -> StoredAlarm:
    note = body.note if body is not None else ""
    return alarms.order_alarm(alarm_id, AlarmOrder.ACKNOWLEDGE, actor=actor, note=note)


@router.post("/alarms/{alarm_id}/snooze", responses=describe(404, 409))
def snooze_alarm(actor: Operator, alarms: AlarmsPort, alarm_id: Number, body: Snooze) -> StoredAlarm:
    return alarms.order_alarm(
        alarm_id, AlarmOrder.SNOOZE, actor=actor, snooze=timedelta(seconds=body.seconds), note=body.note
    )


@router.post("/alarms/{alarm_id}/reopen", responses=describe(404, 409))
def reopen_alarm(actor: Operator, alarms: AlarmsPort, alarm_id: Number, body: Noted | None = None) -> StoredAlarm:
    note = body.note if body is not None else ""
    return alarms.order_alarm(alarm_id, AlarmOrder.REOPEN, actor=actor, note=note)


@router.post("/alarms/{alarm_id}/reask", responses=describe(404, 409))
def reask(actor: Operator, reasks: Annotated[Reasks, kept("reasks")], alarm_id: Number) -> Asked:
    """Let the leader ask the released policy an alarm's prompts again, or more of them; the alarm tells the verdict."""
    return Asked(alarm_id=alarm_id, max_prompts=reasks.reask(alarm_id, actor=actor))


@router.get("/incidents", responses={200: {"headers": LINK}})
def list_incidents(_: Viewer, incidents: IncidentsPort, page: NumberedPage, state: States = ()) -> Sequence[Incident]:
    """List incidents, the newest first."""
    found = incidents.incidents(states=state, limit=page.wanted, before=page.after)
    return page.give(found, lambda incident: incident.incident_id)


@router.get("/incidents/{incident_id}", responses=describe(404))
def get_incident(_: Viewer, incidents: IncidentsPort, incident_id: Number) -> IncidentDetail:
    incident = incidents.incident(incident_id)
    if incident is None:
        raise NotFound(f"there is no incident {incident_id}: /api/v1/incidents lists them")
    return incident


@router.post("/incidents/{incident_id}/acknowledge", responses=describe(404, 409))
def acknowledge_incident(
    actor: Operator, incidents: IncidentsPort, incident_id: Number, body: Noted | None = None
) -> IncidentDetail:
    note = body.note if body is not None else ""
    return incidents.order_incident(incident_id, AlarmOrder.ACKNOWLEDGE, actor=actor, note=note)


@router.post("/incidents/{incident_id}/snooze", responses=describe(404, 409))
def snooze_incident(actor: Operator, incidents: IncidentsPort, incident_id: Number, body: Snooze) -> IncidentDetail:
    snooze = timedelta(seconds=body.seconds)
    return incidents.order_incident(incident_id, AlarmOrder.SNOOZE, actor=actor, snooze=snooze, note=body.note)


@router.post("/incidents/{incident_id}/reopen", responses=describe(404, 409))
def reopen_incident(
    actor: Operator, incidents: IncidentsPort, incident_id: Number, body: Noted | None = None
) -> IncidentDetail:
    note = body.note if body is not None else ""
    return incidents.order_incident(incident_id, AlarmOrder.REOPEN, actor=actor, note=note)
