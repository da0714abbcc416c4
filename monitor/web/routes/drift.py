"""Streams, alarms and the baseline they are judged against."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from monitor.domain.alarm import AlarmState, StoredAlarm
from monitor.domain.stream import StreamStatus
from monitor.domain.view import BaselineSummary, Overview
from monitor.errors import NotFound
from monitor.web.auth import AnyActor, Operator
from monitor.web.problem import describe
from monitor.web.state import Limit, Number, Reads, Writes

router = APIRouter(tags=["drift"])


@router.get("/overview")
def get_overview(_: AnyActor, views: Reads) -> Overview:
    return views.overview()


@router.get("/streams")
def list_streams(_: AnyActor, views: Reads) -> Sequence[StreamStatus]:
    """List the streams by name; an `evidence_log` of null is no evidence at all."""
    return sorted(views.streams(), key=lambda stream: stream.key)


@router.get("/alarms")
def list_alarms(
    _: AnyActor, views: Reads, state: AlarmState | None = None, limit: Limit = 100
) -> Sequence[StoredAlarm]:
    return views.alarms(state=state, limit=limit)


@router.get("/alarms/{alarm_id}", responses=describe(404))
def get_alarm(_: AnyActor, views: Reads, alarm_id: Number) -> StoredAlarm:
    alarm = views.alarm(alarm_id)
    if alarm is None:
        raise NotFound(f"there is no alarm {alarm_id}: /api/v1/alarms lists them")
    return alarm


@router.post("/alarms/{alarm_id}/acknowledge", responses=describe(404, 409))
def acknowledge_alarm(actor: Operator, commands: Writes, alarm_id: Number) -> StoredAlarm:
    return commands.acknowledge(alarm_id, actor=actor)


@router.get("/baseline")
def get_baseline(_: AnyActor, views: Reads) -> BaselineSummary | None:
    """Return the active baseline; null until the first one is frozen."""
    return views.baseline()
