"""What commands read and change: the database that the settings name, or a server that is asked for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Protocol

from monitor.cli.server import chosen
from monitor.domain.alarm import AlarmState, StoredAlarm
from monitor.domain.anchor import AnchorStatus
from monitor.domain.baseline import BaselineQuery, TraceWindow
from monitor.domain.erasure import Erasure, ErasureSubject
from monitor.domain.incident import Incident, IncidentDetail
from monitor.domain.job import Action, Job, PlannedStart
from monitor.domain.order import AlarmOrder, JobOrder
from monitor.domain.release import Announcement, Bake
from monitor.domain.shadow import Shadow
from monitor.domain.stream import StreamStatus
from monitor.domain.view import BaselineSummary, JobDetail
from monitor.runs.model import ModelDetail, ModelQuery, RegisteredModel

if TYPE_CHECKING:
    from monitor.drift.correlation import RewardCorrelation  # these bring scipy, which takes seconds to import
    from monitor.drift.explain import Explanation
    from monitor.drift.moved import MovedStreams
    from monitor.drift.preview import FreezePreview
    from monitor.drift.summary import BaselineLaws
    from monitor.labels.agreement import AgreementReport
    from monitor.labels.report import LabelReport
    from monitor.probes.report import SuiteReport


@dataclass(frozen=True, slots=True)
class FollowedJob:
    """A job with its history and what came of it."""

    detail: JobDetail
    bake: Bake | None
    shadow: Shadow | None


@dataclass(frozen=True, slots=True)
class Unwatched:
    """What was seen, and the active baseline says nothing of."""

    cohorts: tuple[str, ...]
    scorers: tuple[tuple[str, str], ...]  # signal and scorer version


class Desk(Protocol):
    """Where commands look things up and give orders; who gives them, the desk knows.

    An order raises `NotFound` for what nobody has, and `Conflict` where its state does not allow it.
    """

    def alarms(self, *, state: AlarmState | None, limit: int) -> Sequence[StoredAlarm]: ...
    def alarm(self, alarm_id: int) -> StoredAlarm | None: ...
    def explanation(self, alarm_id: int) -> Explanation | None: ...
    def order_alarm(self, alarm_id: int, order: AlarmOrder, *, snooze: timedelta, note: str) -> StoredAlarm: ...
    def incidents(self, *, state: AlarmState | None, limit: int) -> Sequence[Incident]: ...
    def incident(self, incident_id: int) -> IncidentDetail | None: ...
    def order_incident(self, incident_id: int, order: AlarmOrder, *, snooze: timedelta) -> IncidentDetail: ...
    def streams(self) -> Sequence[StreamStatus]: ...
    def unwatched(self) -> Unwatched: ...
    def anchor(self) -> AnchorStatus | None: ...
    def correlations(self) -> Sequence[RewardCorrelation]: ...
    def moved(self, day: date | None) -> MovedStreams | None: ...
    def baseline(self) -> BaselineSummary | None: ...
    def baselines(self, wanted: BaselineQuery, *, limit: int) -> Sequence[BaselineSummary]: ...
    def laws(self) -> BaselineLaws | None: ...
    def preview(self, window: TraceWindow) -> FreezePreview: ...
    def freeze(self, window: TraceWindow, *, note: str) -> BaselineSummary: ...
    def jobs(self, *, limit: int) -> Sequence[Job]: ...
    def job(self, job_id: int) -> FollowedJob | None: ...
    def report(self, job_id: int) -> bytes | None: ...
    def plan(self) -> Sequence[PlannedStart]: ...
    def start_job(self, action: Action, reason: str, *, force: bool) -> Job: ...
    def move_job(self, job_id: int, order: JobOrder) -> Job: ...
    def override(self, job_id: int, reason: str) -> Job: ...
    def models(self, wanted: ModelQuery, *, limit: int) -> Sequence[RegisteredModel]: ...
    def model(self, version: str) -> ModelDetail | None: ...
    def announcements(self, *, limit: int) -> Sequence[Announcement]: ...
    def estimates(self, signal: str) -> Sequence[LabelReport]: ...
    def agreement(self) -> AgreementReport: ...
    def probes(self) -> Sequence[SuiteReport]: ...
    def erase(self, subject: ErasureSubject, *, dry_run: bool) -> Erasure: ...
    def erasures(self, *, limit: int) -> Sequence[Erasure]: ...


@contextmanager
def open_desk() -> Iterator[Desk]:
    """Open the server that was chosen, and else the database, for the block."""
    server = chosen()
    if server is None:
        from monitor.cli.database import open_database
        from monitor.cli.local_desk import LocalDesk

        with open_database() as (engine, settings):
            yield LocalDesk(engine, settings)
    else:
        from monitor.cli.http import open_api
        from monitor.cli.remote_desk import RemoteDesk

        with open_api(server) as api:
            yield RemoteDesk(api)
