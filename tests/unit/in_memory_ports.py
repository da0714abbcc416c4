"""The web package's ports without a database; the same refusals, kept in dictionaries."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import TypeVar

from monitor.app.letters import NewestLetters
from monitor.app.signal_rows import SignalRows
from monitor.domain.alarm import Alarm, AlarmState, Direction, Effect, Severity, StoredAlarm
from monitor.domain.anchor import AnchorStatus
from monitor.domain.episode import AlarmPage, Compared, EpisodeRecords, GivenOrder, events_of
from monitor.domain.erasure import Erasure, ErasureSubject
from monitor.domain.finding import IncidentBoard, card_of, choose, leads_of
from monitor.domain.incident import Incident, IncidentDetail, episode_of, sum_up
from monitor.domain.job import LIVE, Action, Hold, Job, JobState, Offer, PlannedStart
from monitor.domain.order import ORDERS, Actor, AlarmOrder, JobOrder, target_of
from monitor.domain.release import Announcement, Bake
from monitor.domain.shadow import Shadow
from monitor.domain.stream import StreamKey, StreamStatus
from monitor.domain.view import BaselineSummary, JobDetail, JobEvent, Overview, SignalRow
from monitor.drift.correlation import RewardCorrelation
from monitor.drift.curve import Curves
from monitor.drift.explain import Explanation, explain
from monitor.drift.fold import FoldRules
from monitor.drift.heatmap import Heatmap, LiveAlarm, Table, View
from monitor.drift.moved import MovedStreams
from monitor.drift.sentence import Levels, sentence
from monitor.drift.summary import BaselineLaws
from monitor.errors import Conflict, NotFound, Unavailable
from monitor.labels.agreement import AgreementReport
from monitor.labels.report import LabelReport
from monitor.notify.notice import ReceiverStatus
from monitor.offline.log import InMemoryLog
from monitor.postgres.engine import AWAY
from monitor.probes.report import SuiteReport
from monitor.runs.model import ModelDetail, ModelPlace, ModelQuery, ModelRole, ModelState, RegisteredModel
from monitor.settings.root import Settings
from monitor.web.app import Ports
from tests.unit.in_memory_credentials import InMemoryCredentials
from tests.unit.in_memory_desk import InMemoryDesk
from tests.unit.in_memory_history import InMemoryHistories
from tests.unit.in_memory_keys import InMemoryKeys
from tests.unit.in_memory_labels import InMemoryLabels
from tests.unit.in_memory_letters import LetterTopic
from tests.unit.in_memory_records import InMemoryRecords
from tests.unit.in_memory_reviews import InMemoryReviews

Row = TypeVar("Row")
Place = TypeVar("Place", int, ModelPlace)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def stored_alarm(
    alarm_id: int = 1,
    *,
    cohort: str = "*",
    state: AlarmState = AlarmState.OPEN,
    incident_id: int = 1,
    **changes: object,
) -> StoredAlarm:
    alarm = Alarm(
        stream=StreamKey("response_length", cohort, "chat-2", "1"),
        direction=Direction.UP,
        severity=Severity.ALERT,
        place=2843,
        trace_id="t-2843",
        timestamp=NOW,
        onset_place=2806,
        onset_timestamp=NOW - timedelta(minutes=3),
        observations=843,
        evidence_log=1.02,
        effect=Effect(214.0, 120.5, 310.2, "tokens"),
        examples=("t-2843", "t-2840"),
    )
    changed: Alarm = replace(alarm, **changes)  # type: ignore[arg-type]
    stored = StoredAlarm(alarm_id, state, changed, NOW, incident_id=incident_id)
    return replace(stored, trace_number=changed.place, onset_trace_number=changed.onset_place)


def stream_status(**changes: object) -> StreamStatus:
    usual = StreamStatus(
        key=StreamKey("refusal", "*", "chat-2", "1"),
        observations=1200,
        mean=0.034,
        baseline_mean=0.03,
        baseline_lower=0.025,
        baseline_upper=0.035,
        evidence_log=0.31,
        last_timestamp=NOW,
        unit="ratio",
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def a_job(job_id: int = 1, state: JobState = JobState.QUEUED, **changes: object) -> Job:
    usual = Job(job_id, Action.REWARD_REFRESH, state, "refusals rose", "trigger", 1, 0, NOW, NOW)
    return replace(usual, **changes)  # type: ignore[arg-type]


def newest(rows: Iterable[Row], place: Callable[[Row], Place], limit: int, before: Place | None) -> list[Row]:
    """Return the rows whose place is below *before*, the newest first."""
    chosen = [row for row in rows if before is None or place(row) < before]
    return sorted(chosen, key=place, reverse=True)[:limit]


@dataclass
class InMemoryProbes:
    told: list[SuiteReport] = field(default_factory=list)

    def reports(self) -> Sequence[SuiteReport]:
        return self.told


@dataclass
class InMemoryMonitor:
    """Every port over one state; `away` makes every call fail as a lost database does."""

    statuses: list[StreamStatus] = field(default_factory=list)
    stored: dict[int, StoredAlarm] = field(default_factory=dict)
    kept: dict[int, Job] = field(default_factory=dict)
    history: list[tuple[int, JobEvent]] = field(default_factory=list)
    announced: list[Announcement] = field(default_factory=list)
    shadows: dict[int, Shadow] = field(default_factory=dict)
    baking: dict[int, Bake] = field(default_factory=dict)
    details: dict[str, ModelDetail] = field(default_factory=dict)
    registered: list[RegisteredModel] = field(default_factory=list)
    records: EpisodeRecords = field(default_factory=lambda: EpisodeRecords((), (), (), (), ()))
    drawn: dict[int, Curves] = field(default_factory=dict)
    explained: dict[int, Explanation] = field(default_factory=dict)
    levels: Levels | None = None
    compared: dict[int, tuple[Compared, ...]] = field(default_factory=dict)
    frozen: BaselineSummary | None = None
    anchored: AnchorStatus | None = None
    together: list[RewardCorrelation] = field(default_factory=list)
    told: dict[date, MovedStreams] = field(default_factory=dict)
    counts: Overview = field(default_factory=lambda: Overview(0, 0, 0, 0, {}, 0, 0, None, False, None))
    queue: InMemoryReviews = field(default_factory=InMemoryReviews)
    told_of_labels: list[LabelReport] = field(default_factory=list)
    agreed: AgreementReport = field(default_factory=lambda: AgreementReport((), (), None, None, None))
    planned: tuple[PlannedStart, ...] = ()
    pages: dict[int, bytes] = field(default_factory=dict)
    held: str | None = None  # why annotators hold a start by hand
    lacking: dict[Action, Hold] = field(default_factory=dict)
    probed: InMemoryProbes = field(default_factory=InMemoryProbes)
    observed: SignalRows = field(default_factory=lambda: SignalRows(Settings()))
    labels: InMemoryLabels = field(default_factory=InMemoryLabels)
    erased: list[Erasure] = field(default_factory=list)
    receivers: list[ReceiverStatus] = field(default_factory=list)
    stored_records: InMemoryRecords = field(default_factory=InMemoryRecords)
    opened: InMemoryCredentials = field(default_factory=InMemoryCredentials)
    histories: InMemoryHistories = field(default_factory=InMemoryHistories)
    keys: InMemoryKeys = field(default_factory=InMemoryKeys)
    letters: NewestLetters = field(default_factory=lambda: LetterTopic().port())
    desk: InMemoryDesk = field(default_factory=InMemoryDesk)
    away: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ports(self) -> Ports:
        return Ports(
            overview=self,
            boards=self,
            heatmaps=self,
            versions=self,
            streams=self,
            days=self,
            baselines=self,
            correlations=self,
            anchors=self,
            alarms=self,
            pages=self,
            incidents=self,
            notified=self,
            jobs=self,
            models=self,
            releases=self,
            reviews=self.queue,
            estimates=self,
            agreement=self,
            labels=self.labels.port(),
            probes=self.probed,
            erasures=self,
            signals=self,
            keys=self.keys,
            traces=self.stored_records,
            freezes=self.stored_records,
            audit=self.stored_records,
            credentials=self.opened,
            histories=self.histories,
            letters=self.letters,
            letter_desk=self.desk,
            queue=self.desk,
            criteria=self.desk.criteria,
            preferences=self.desk,
            reasks=self.desk,
        )

    def receivers_told(self) -> Sequence[ReceiverStatus]:
        self._reach()
        return self.receivers

    def signals(self) -> Sequence[SignalRow]:
        return self.observed.signals()

    def count(self, subject: ErasureSubject, *, actor: Actor) -> Erasure:
        self._reach()
        return Erasure(subject.kind, subject.sha256, actor.name, {"traces": 1})

    def erase(self, subject: ErasureSubject, *, actor: Actor) -> Erasure:
        self.erased.append(replace(self.count(subject, actor=actor), erasure_id=len(self.erased) + 1, at=NOW))
        return self.erased[-1]

    def erasures(self, *, limit: int, before: int | None = None) -> Sequence[Erasure]:
        self._reach()
        return newest(self.erased, lambda one: one.erasure_id or 0, limit, before)

    def overview(self) -> Overview:
        self._reach()
        paging = [incident for incident in self.incidents(states=(), limit=1000) if incident.facts.pages]
        opened = len(self.alarms(state=AlarmState.OPEN, limit=1000))
        return replace(self.counts, open_alarms=opened, paging_incidents=len(paging))

    def versions(self) -> dict[str, str]:
        self._reach()
        streams = (self.statuses, self.registered, self.stored, self.told)
        models = (self.registered, self.announced, self.frozen, self.anchored, self.together)
        told = {"counts": self.overview(), "incidents": self.stored, "streams": streams, "models": models}
        jobs = (self.kept, self.history, self.planned, self.lacking, self.baking)
        return {name: sha256(repr(part).encode()).hexdigest() for name, part in (told | {"jobs": jobs}).items()}

    def board(self, *, states: Collection[AlarmState], limit: int) -> IncidentBoard:
        chosen, totals = choose(self.incidents(states=states, limit=1000), limit)
        members = {one.incident_id: self._members(one.incident_id) for one in chosen}
        cards = [
            card_of(one, leads_of(members[one.incident_id]), alarms=len(members[one.incident_id])) for one in chosen
        ]
        return IncidentBoard(tuple(cards), totals)

    def heatmap(self, view: View) -> Heatmap:
        self._reach()
        live = [item for item in self.stored.values() if item.state.is_live]
        alarms = [
            LiveAlarm(
                alarm_id=item.alarm_id,
                stream=item.alarm.stream,
                kind=item.alarm.kind,
                state=item.state,
                severity=item.alarm.severity,
                direction=item.alarm.direction,
                effect=None if item.alarm.effect is None else item.alarm.effect.estimate,
            )
            for item in live
        ]
        named = self.models(ModelQuery(ModelRole.REWARD, frozenset({ModelState.CHAMPION})), limit=1)
        return Table(self.statuses, alarms, champion=named[0].version if named else None).show(view)

    def _members(self, incident_id: int) -> list[StoredAlarm]:
        return [item for item in self.stored.values() if item.incident_id == incident_id]

    def streams(self) -> Sequence[StreamStatus]:
        self._reach()
        return tuple(self.statuses)

    def unwatched_cohorts(self) -> tuple[str, ...]:
        self._reach()
        return ("new",)

    def unwatched_scorers(self) -> tuple[tuple[str, str], ...]:
        return (("reward", "v2"),)

    def laws(self) -> BaselineLaws | None:
        self._reach()
        return None

    def explanation(self, alarm_id: int) -> Explanation | None:
        item = self.stored.get(alarm_id)
        told = self.explained.get(alarm_id)
        return told if item is None or told is not None else explain(item, None, InMemoryLog(), FoldRules())

    def page(self, alarm_id: int) -> AlarmPage | None:
        self._reach()
        item = self.stored.get(alarm_id)
        if item is None:
            return None
        episode = [other for other in self.stored.values() if episode_of(other) == episode_of(item)]
        jobs = tuple(job for job in self.kept.values() if job.alarm_id == alarm_id)
        records = replace(self.records, episode=tuple(episode), jobs=jobs)
        moments = {moment.place: moment for curves in self.drawn.values() for moment in curves.moments}
        return AlarmPage(item, sentence(item, self.levels), events_of(item, records, moments), jobs)

    def answers(self, alarm_id: int) -> Sequence[Compared] | None:
        self._reach()
        return self.compared.get(alarm_id, ()) if alarm_id in self.stored else None

    def curves(self, alarm_id: int) -> Curves | None:
        self._reach()
        return self.drawn.get(alarm_id)

    def moved(self, day: date | None) -> MovedStreams | None:
        self._reach()
        return self.told.get(max(self.told, default=NOW.date()) if day is None else day)

    def alarms(self, *, state: AlarmState | None, limit: int, before: int | None = None) -> Sequence[StoredAlarm]:
        self._reach()
        found = [item for item in self.stored.values() if state is None or item.state is state]
        return newest(found, lambda item: item.alarm_id, limit, before)

    def alarm(self, alarm_id: int) -> StoredAlarm | None:
        return self.stored.get(alarm_id)

    def jobs(
        self, *, limit: int, before: int | None = None, state: JobState | None = None, action: Action | None = None
    ) -> Sequence[Job]:
        self._reach()
        fitting = [job for job in self.kept.values() if state in {None, job.state} and action in {None, job.action}]
        return newest(fitting, lambda job: job.job_id, limit, before)

    def job(self, job_id: int) -> JobDetail | None:
        job = self.kept.get(job_id)
        return (
            None if job is None else JobDetail(job, tuple(event for number, event in self.history if number == job_id))
        )

    def models(self, wanted: ModelQuery, *, limit: int, before: ModelPlace | None = None) -> Sequence[RegisteredModel]:
        self._reach()
        return newest(filter(wanted.admits, self.registered), ModelPlace.of, limit, before)

    def model(self, version: str) -> ModelDetail | None:
        self._reach()
        return self.details.get(version)

    def announcements(self, *, limit: int, before: int | None = None) -> Sequence[Announcement]:
        self._reach()
        return newest(self.announced, lambda one: one.announcement_id, limit, before)

    def open_bakes(self) -> Sequence[Bake]:
        self._reach()
        return [bake for bake in self.baking.values() if bake.state.is_open]

    def bake(self, job_id: int) -> Bake | None:
        self._reach()
        return self.baking.get(job_id)

    def shadow(self, job_id: int) -> Shadow | None:
        self._reach()
        return self.shadows.get(job_id)

    def baseline(self) -> BaselineSummary | None:
        self._reach()
        return self.frozen

    def correlations(self) -> Sequence[RewardCorrelation]:
        self._reach()
        return self.together

    def anchor(self) -> AnchorStatus | None:
        self._reach()
        return self.anchored

    def reports(self, *, signal: str | None = None, past_weeks: int = 0) -> Sequence[LabelReport]:
        self._reach()
        return [report for report in self.told_of_labels if signal in {None, report.signal}]

    def order_alarm(
        self, alarm_id: int, order: AlarmOrder, *, actor: Actor, snooze: timedelta = timedelta(0), note: str = ""
    ) -> StoredAlarm:
        with self._lock:
            item = self.stored.get(alarm_id)
            if item is None:
                raise NotFound(f"alarm {alarm_id}: no such alarm")
            state = target_of(f"alarm {alarm_id}", item.state, order)
            self._move(item, state, actor, snooze)
            given = GivenOrder(NOW, actor.name, f"alarm.{order}", f"alarm {alarm_id}", {"note": note})
            self.records = replace(self.records, orders=(*self.records.orders, given))
            return self.stored[alarm_id]

    def incidents(self, *, states: Collection[AlarmState], limit: int, before: int | None = None) -> Sequence[Incident]:
        self._reach()
        members: dict[int, list[StoredAlarm]] = defaultdict(list)
        for item in self.stored.values():
            if item.incident_id is not None:
                members[item.incident_id].append(item)
        found = [Incident(number, sum_up(alarms), NOW) for number, alarms in members.items()]
        shown = [incident for incident in found if not states or incident.facts.state in states]
        return newest(shown, lambda incident: incident.incident_id, limit, before)

    def incident(self, incident_id: int) -> IncidentDetail | None:
        alarms = self._members(incident_id)
        return IncidentDetail(Incident(incident_id, sum_up(alarms), NOW), tuple(alarms)) if alarms else None

    def order_incident(
        self, incident_id: int, order: AlarmOrder, *, actor: Actor, snooze: timedelta = timedelta(0), note: str = ""
    ) -> IncidentDetail:
        with self._lock:
            found = self.incident(incident_id)
            if found is None:
                raise NotFound(f"incident {incident_id}: no such incident")
            state = target_of(f"incident {incident_id}", found.incident.facts.state, order)
            for item in found.alarms:
                if item.state.is_live:
                    self._move(item, state, actor, snooze)
            after = self.incident(incident_id)
            assert after is not None
            return after

    def _move(self, item: StoredAlarm, state: AlarmState, actor: Actor, snooze: timedelta) -> None:
        until = NOW + snooze if state is AlarmState.SNOOZED else None
        by = actor.name if state is AlarmState.ACKNOWLEDGED else None
        self.stored[item.alarm_id] = replace(item, state=state, acknowledged_by=by, snoozed_until=until)

    def report(self) -> AgreementReport:
        self._reach()
        return self.agreed

    def verdict_page(self, job_id: int) -> bytes | None:
        return self.pages.get(job_id)

    def plan(self) -> Sequence[PlannedStart]:
        self._reach()
        return self.planned

    def offers(self) -> Sequence[Offer]:
        self._reach()
        return [Offer(action, self.lacking.get(action)) for action in Action]

    def start_job(
        self, action: Action, reason: str, *, actor: Actor, force: bool = False, alarm_id: int | None = None
    ) -> Job:
        with self._lock:
            if self.held is not None and not force:
                raise Conflict(f"{action}: {self.held}; it can be forced")
            for other in self.kept.values():
                if other.action is action and other.state in LIVE:
                    raise Conflict(f"job {other.job_id} ({action}) is {other.state}; wanted no live job of the action")
            job = a_job(len(self.kept) + 1, action=action, reason=reason, requested_by=actor.name, alarm_id=alarm_id)
            return self._keep(job, actor)

    def move_job(self, job_id: int, order: JobOrder, *, actor: Actor) -> Job:
        with self._lock:
            job = self.kept.get(job_id)
            if job is None:
                raise NotFound(f"job {job_id}: no such job")
            target = ORDERS.get(job.state, {}).get(order)
            if target is None:
                raise Conflict(f"job {job_id} is {job.state}; it cannot follow the order {order.value!r}")
            return self._keep(replace(job, state=target), actor)

    def override(self, job_id: int, reason: str, *, actor: Actor) -> Job:
        with self._lock:
            job = self.kept.get(job_id)
            if job is None:
                raise NotFound(f"job {job_id}: no such job")
            if job.state is not JobState.FAILED_GATE:
                raise Conflict(f"job {job_id} is {job.state}; an override wants one that failed the gate")
            return self._keep(replace(job, state=JobState.PROMOTED), actor)

    def _keep(self, job: Job, actor: Actor) -> Job:
        self.kept[job.job_id] = job
        self.history.append((job.job_id, JobEvent(NOW, job.state, actor.name, "")))
        return job

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("postgres at 127.0.0.1:5432: connection refused\n\tIs it running?", plain=AWAY)
