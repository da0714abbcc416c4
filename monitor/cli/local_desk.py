"""The desk on the database itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.access.credential import Credential
from monitor.cli.database import operator
from monitor.cli.desk import FollowedJob, NewToken, Unwatched
from monitor.domain.alarm import AlarmState, StoredAlarm
from monitor.domain.anchor import AnchorStatus
from monitor.domain.baseline import BaselineQuery, TraceWindow
from monitor.domain.erasure import Erasure, ErasureSubject
from monitor.domain.incident import Incident, IncidentDetail
from monitor.domain.job import Action, Job, PlannedStart
from monitor.domain.order import AlarmOrder, JobOrder, Role
from monitor.domain.release import Announcement
from monitor.domain.review import Criteria, KeptCriteria, ReviewStatus
from monitor.domain.stream import StreamStatus
from monitor.domain.view import BaselineSummary
from monitor.notify.notice import ReceiverStatus
from monitor.review.exchange import Exported, Imported, Read
from monitor.runs.artifact import HashedFile
from monitor.runs.model import ModelDetail, ModelQuery, RegisteredModel
from monitor.settings.root import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from monitor.app.baselines import Baselines
    from monitor.app.erasure import Erasing
    from monitor.app.preferences import PreferenceSets
    from monitor.app.review import ReviewDesk
    from monitor.drift.correlation import RewardCorrelation
    from monitor.drift.explain import Explanation
    from monitor.drift.moved import MovedStreams
    from monitor.drift.preview import FreezePreview
    from monitor.drift.status import Streams
    from monitor.drift.summary import BaselineLaws
    from monitor.labels.agreement import AgreementReport
    from monitor.labels.card import StoredSet
    from monitor.labels.report import LabelReport
    from monitor.postgres.review_criteria import PostgresCriteria
    from monitor.probes.report import SuiteReport
    from monitor.retraining.service import JobService


class LocalDesk:
    """A command opens what it needs of the program, and imports no more."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine, self._settings = engine, settings

    def alarms(self, *, state: AlarmState | None, limit: int) -> Sequence[StoredAlarm]:
        from monitor.postgres.alarms import PostgresAlarms

        return PostgresAlarms(self._engine).alarms(state=state, limit=limit)

    def alarm(self, alarm_id: int) -> StoredAlarm | None:
        from monitor.postgres.alarms import PostgresAlarms

        return PostgresAlarms(self._engine).alarm(alarm_id)

    def explanation(self, alarm_id: int) -> Explanation | None:
        from monitor.app.explaining import Explanations
        from monitor.app.rules import controller_rules_of

        return Explanations(self._engine, controller_rules_of(self._settings).fold).explanation(alarm_id)

    def order_alarm(self, alarm_id: int, order: AlarmOrder, *, snooze: timedelta, note: str) -> StoredAlarm:
        from monitor.postgres.alarms import PostgresAlarms

        return PostgresAlarms(self._engine).order_alarm(alarm_id, order, actor=operator(), snooze=snooze, note=note)

    def incidents(self, *, state: AlarmState | None, limit: int) -> Sequence[Incident]:
        from monitor.postgres.incidents import PostgresIncidents

        return PostgresIncidents(self._engine).incidents(states=() if state is None else (state,), limit=limit)

    def incident(self, incident_id: int) -> IncidentDetail | None:
        from monitor.postgres.incidents import PostgresIncidents

        return PostgresIncidents(self._engine).incident(incident_id)

    def order_incident(self, incident_id: int, order: AlarmOrder, *, snooze: timedelta) -> IncidentDetail:
        from monitor.postgres.incidents import PostgresIncidents

        return PostgresIncidents(self._engine).order_incident(incident_id, order, actor=operator(), snooze=snooze)

    def streams(self) -> Sequence[StreamStatus]:
        return self._streams().streams()

    def unwatched(self) -> Unwatched:
        streams = self._streams()
        return Unwatched(streams.unwatched_cohorts(), streams.unwatched_scorers())

    def anchor(self) -> AnchorStatus | None:
        from monitor.app.anchor import anchors_of

        return anchors_of(self._engine, self._settings.rewards.anchor).anchor()

    def correlations(self) -> Sequence[RewardCorrelation]:
        from monitor.drift.correlation import Correlations
        from monitor.postgres.streams import PostgresFoldStore

        return Correlations(PostgresFoldStore(self._engine), self.baseline).correlations()

    def moved(self, day: date | None) -> MovedStreams | None:
        from monitor.app.ports import moved_days_of

        return moved_days_of(self._engine, self._settings).moved(day)

    def baseline(self) -> BaselineSummary | None:
        from monitor.postgres.views.streams import PostgresStreams

        return PostgresStreams(self._engine).baseline()

    def baselines(self, wanted: BaselineQuery, *, limit: int) -> Sequence[BaselineSummary]:
        return self._baselines().baselines(wanted, limit=limit)

    def laws(self) -> BaselineLaws | None:
        return self._streams().laws()

    def preview(self, window: TraceWindow) -> FreezePreview:
        return self._baselines().preview(window)

    def freeze(self, window: TraceWindow, *, note: str) -> BaselineSummary:
        return self._baselines().freeze(window, actor=operator(), note=note)

    def jobs(self, *, limit: int) -> Sequence[Job]:
        return self._jobs().jobs(limit=limit)

    def job(self, job_id: int) -> FollowedJob | None:
        from monitor.app.release import Released

        detail, released = self._jobs().job(job_id), Released.of(self._engine)
        return None if detail is None else FollowedJob(detail, released.bake(job_id), released.shadow(job_id))

    def report(self, job_id: int) -> bytes | None:
        return self._jobs().verdict_page(job_id)

    def plan(self) -> Sequence[PlannedStart]:
        return self._jobs().plan()

    def start_job(self, action: Action, reason: str, *, force: bool) -> Job:
        return self._jobs().start_job(action, reason, actor=operator(), force=force)

    def move_job(self, job_id: int, order: JobOrder) -> Job:
        return self._jobs().move_job(job_id, order, actor=operator())

    def override(self, job_id: int, reason: str) -> Job:
        return self._jobs().override(job_id, reason, actor=operator())

    def models(self, wanted: ModelQuery, *, limit: int) -> Sequence[RegisteredModel]:
        from monitor.postgres.registry import RewardRegistry

        return RewardRegistry(self._engine).models(wanted, limit=limit)

    def model(self, version: str) -> ModelDetail | None:
        from monitor.postgres.registry import RewardRegistry

        return RewardRegistry(self._engine).model(version)

    def announcements(self, *, limit: int) -> Sequence[Announcement]:
        from monitor.postgres.announcements import AnnouncementLog

        return AnnouncementLog(self._engine).announcements(limit=limit)

    def estimates(self, signal: str) -> Sequence[LabelReport]:
        from monitor.app.estimates import estimates_of

        return estimates_of(self._engine, self._settings).reports(signal=signal)

    def agreement(self) -> AgreementReport:
        from monitor.app.retraining import agreement_of

        return agreement_of(self._engine, self._settings).report()

    def probes(self) -> Sequence[SuiteReport]:
        from monitor.app.probes import probe_reports_of

        return probe_reports_of(self._engine, self._settings.probes).reports()

    def reask(self, alarm_id: int) -> int:
        from monitor.app.reference import Reasks

        return Reasks(self._engine, self._settings.drift.reference).reask(alarm_id, actor=operator())

    def receivers(self) -> Sequence[ReceiverStatus]:
        from monitor.app.notifying import Notified

        return Notified.of(self._engine, self._settings).receivers_told()

    def review_status(self) -> ReviewStatus:
        return self._review().status()

    def review_items(self, *, every: bool, limit: int) -> Sequence[Exported]:
        return [item for _, item in self._review().export(every=every, limit=limit, actor=operator())]

    def take_answers(self, answers: Read) -> Imported:
        return self._review().take_all(answers, actor=operator())

    def make_gold(self, trace_id: str, kind: str, value: float) -> int:
        return self._review().make_gold(trace_id, kind, value, actor=operator())

    def criteria(self) -> Sequence[KeptCriteria]:
        return self._criteria().versions()

    def add_criteria(self, criteria: Criteria) -> None:
        self._criteria().add(criteria, actor=operator())

    def activate_criteria(self, version: str) -> None:
        self._criteria().activate(version, actor=operator())

    def preference_sets(self, *, limit: int) -> Sequence[StoredSet]:
        return self._preferences().sets(limit=limit)

    def preference_set(self, sha256_start: str) -> StoredSet:
        return self._preferences().find(sha256_start)

    def export_preferences(self, file: Path, sha256_start: str | None) -> HashedFile:
        return self._preferences().export(file, sha256_start)

    def create_token(self, name: str, role: Role, days: int | None) -> NewToken:
        from monitor.access.credential import digest_of, new_secret
        from monitor.postgres.credentials import PostgresCredentials

        secret, lifetime = new_secret(), None if days is None else timedelta(days=days)
        store = PostgresCredentials(self._engine)
        return NewToken(secret, store.create_token(digest_of(secret.encode()), name, role, lifetime, by=operator()))

    def credentials(self, *, ended: bool, limit: int) -> Sequence[Credential]:
        from monitor.postgres.credentials import PostgresCredentials

        return PostgresCredentials(self._engine).credentials(ended=ended, limit=limit)

    def revoke(self, credential_id: int) -> None:
        from monitor.postgres.credentials import PostgresCredentials

        PostgresCredentials(self._engine).revoke(credential_id, by=operator())

    def erase(self, subject: ErasureSubject, *, dry_run: bool) -> Erasure:
        erasing = self._erasing()
        return erasing.count(subject, actor=operator()) if dry_run else erasing.erase(subject, actor=operator())

    def erasures(self, *, limit: int) -> Sequence[Erasure]:
        return self._erasing().erasures(limit=limit)

    def _streams(self) -> Streams:
        from monitor.app.signals import signals_of
        from monitor.drift.status import Streams
        from monitor.postgres.views.streams import PostgresStreams

        return Streams(PostgresStreams(self._engine, signals_of(self._settings)))

    def _baselines(self) -> Baselines:
        from monitor.app.baselines import Baselines

        return Baselines(self._engine, self._settings)

    def _jobs(self) -> JobService:
        from monitor.app.retraining import job_service_of

        return job_service_of(self._engine, self._settings)

    def _review(self) -> ReviewDesk:
        from monitor.app.review import ReviewDesk

        return ReviewDesk(self._engine, self._settings)

    def _criteria(self) -> PostgresCriteria:
        from monitor.postgres.review_criteria import PostgresCriteria

        return PostgresCriteria(self._engine)

    def _preferences(self) -> PreferenceSets:
        from monitor.app.preferences import PreferenceSets

        return PreferenceSets(self._engine, self._settings)

    def _erasing(self) -> Erasing:
        from monitor.app.erasure import Erasing

        return Erasing.of(self._engine, self._settings.retrain)
