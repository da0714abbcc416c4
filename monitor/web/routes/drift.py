"""Streams, alarms and the baseline they are judged against."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Protocol

from fastapi import APIRouter, Query

from monitor.domain.alarm import AlarmState, StoredAlarm
from monitor.domain.order import Actor
from monitor.domain.stream import StreamStatus
from monitor.domain.view import BaselineSummary, Overview
from monitor.drift.moved import MovedStreams
from monitor.errors import NotFound
from monitor.web.auth import AnyActor, Operator
from monitor.web.problem import describe
from monitor.web.state import Limit, Number, kept

router = APIRouter(tags=["drift"])


class Overviews(Protocol):
    def overview(self) -> Overview: ...


class Streams(Protocol):
    def streams(self) -> Sequence[StreamStatus]:
        """Return the streams of the active baseline, in any order."""
        ...


class Days(Protocol):
    def moved(self, day: date | None) -> MovedStreams | None:
        """Return which streams moved on *day*, or on the last day; None where nothing was watched yet."""
        ...


class Baselines(Protocol):
    def baseline(self) -> BaselineSummary | None:
        """Return the active baseline, if one is frozen."""
        ...


class Alarms(Protocol):
    def alarms(self, *, state: AlarmState | None, limit: int) -> Sequence[StoredAlarm]:
        """Return the newest alarms first, those in *state* where one is given."""
        ...

    def alarm(self, alarm_id: int) -> StoredAlarm | None: ...

    def acknowledge(self, alarm_id: int, *, actor: Actor) -> StoredAlarm:
        """Mark an open alarm as seen; raises `NotFound`, and `Conflict` where it is not open."""
        ...


AlarmsPort = Annotated[Alarms, kept("alarms")]


@router.get("/overview")
def get_overview(_: AnyActor, overview: Annotated[Overviews, kept("overview")]) -> Overview:
    return overview.overview()


@router.get("/streams")
def list_streams(_: AnyActor, streams: Annotated[Streams, kept("streams")]) -> Sequence[StreamStatus]:
    """List the streams by name; an `evidence_log` of null is no evidence at all."""
    return sorted(streams.streams(), key=lambda stream: stream.key)


@router.get("/moved")
def get_moved(
    _: AnyActor,
    days: Annotated[Days, kept("days")],
    day: Annotated[date | None, Query(description="in UTC; without it the last day there is")] = None,
) -> MovedStreams | None:
    """Return which streams moved on a day; null until anything was watched.

    Of the streams told of `on_the_day`, at most `false_share` have not moved, in the mean over days. Of all that were
    told of `over_days` since the baseline, at most that share have not. While a day lasts, it is told of so far.
    """
    return days.moved(day)


@router.get("/alarms")
def list_alarms(
    _: AnyActor, alarms: AlarmsPort, state: AlarmState | None = None, limit: Limit = 100
) -> Sequence[StoredAlarm]:
    return alarms.alarms(state=state, limit=limit)


@router.get("/alarms/{alarm_id}", responses=describe(404))
def get_alarm(_: AnyActor, alarms: AlarmsPort, alarm_id: Number) -> StoredAlarm:
    alarm = alarms.alarm(alarm_id)
    if alarm is None:
        raise NotFound(f"there is no alarm {alarm_id}: /api/v1/alarms lists them")
    return alarm


@router.post("/alarms/{alarm_id}/acknowledge", responses=describe(404, 409))
def acknowledge_alarm(actor: Operator, alarms: AlarmsPort, alarm_id: Number) -> StoredAlarm:
    return alarms.acknowledge(alarm_id, actor=actor)


@router.get("/baseline")
def get_baseline(_: AnyActor, baselines: Annotated[Baselines, kept("baselines")]) -> BaselineSummary | None:
    """Return the active baseline; null until the first one is frozen."""
    return baselines.baseline()
