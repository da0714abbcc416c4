"""What happened around an alarm: an event a line, in the clock's time and in the traces' own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from monitor.domain.alarm import AlarmState, Severity, StoredAlarm
from monitor.domain.job import Job
from monitor.domain.observation import Moment


class EventKind(StrEnum):
    BASELINE = "baseline"  # was frozen
    RELEASE = "release"  # the policy model's first trace
    ONSET = "onset"
    WARNING = "warning"
    ALERT = "alert"
    ORDER = "order"  # by a person
    VERDICT = "verdict"  # asked again, or the anchor set scored again
    JOB = "job"
    PROMOTION = "promotion"
    ROLL_BACK = "roll_back"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class EpisodeEvent:
    """`at` is the clock on the wall, `trace_time` the traces' own; None where there is no such time."""

    kind: EventKind
    what: str
    at: datetime | None = None
    trace_time: datetime | None = None
    place: int | None = None  # in the log; None: it stands at none
    by: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class GivenOrder:
    """A row of the audit table about an alarm or its incident."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class FrozenBaseline:
    baseline_id: int
    created_at: datetime
    created_by: str
    note: str
    stop_place: int  # exclusive


@dataclass(frozen=True, slots=True)
class Released:
    """A promotion, or one taken back."""

    at: datetime
    job_id: int
    action: str  # `domain.job.Action`
    version: str
    actor: str
    taken_back: bool


@dataclass(frozen=True, slots=True)
class EpisodeRecords:
    """What is stored around an alarm, each oldest first."""

    episode: tuple[StoredAlarm, ...]  # the alarms of its stream's episode: a warning, an alert, or both
    orders: tuple[GivenOrder, ...]
    baselines: tuple[FrozenBaseline, ...]
    releases: tuple[Released, ...]
    jobs: tuple[Job, ...]  # that its incident's alarms started


@dataclass(frozen=True, slots=True)
class AlarmPage:
    """What an alarm's page says beside its curves and its explanation."""

    stored: StoredAlarm
    sentence: str
    events: tuple[EpisodeEvent, ...]  # in the order of the clock
    jobs: tuple[Job, ...]  # that the alarms of its incident started
    stream_id: int | None = None  # of its stream's page; None: it has no history


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """One answer as people read it; texts are None where they are not kept, or not any more."""

    trace_id: str
    value: float  # of the alarm's signal
    likeness: float | None  # of its prompt to the example's, 0 to 1; None: it is the example
    prompt: str | None  # what was said last before the answer
    response: str | None
    cut: bool = False  # one of them goes on


@dataclass(frozen=True, slots=True)
class Compared:
    """A telling answer since the onset, and the baseline's to prompts like its own."""

    example: ShownAnswer
    expected: float
    alike: tuple[ShownAnswer, ...]  # the most alike first


@dataclass(frozen=True, slots=True)
class KeptText:
    prompt: str | None
    response: str | None
    cut: bool


def events_of(stored: StoredAlarm, records: EpisodeRecords, moments: Mapping[int, Moment]) -> tuple[EpisodeEvent, ...]:
    """Return what happened around *stored*, by the clock; what has no time on it stands before the onset.

    *moments* are both times of the places that the log still holds.
    """
    found = [
        *(_frozen(row, moments) for row in records.baselines),
        *_began(stored, moments),
        *(event for member in records.episode for event in _decided(member)),
        *_judged(stored),
        *(_ordered(row) for row in records.orders),
        *(_started(job) for job in records.jobs),
        *(_released(row) for row in records.releases),
        *_ended(stored, moments),
    ]
    onset = moments.get(stored.alarm.onset_place)
    began = stored.created_at if onset is None else onset.logged_at
    return tuple(sorted(found, key=lambda event: (event.at or began, event.kind is EventKind.ONSET)))


def _frozen(row: FrozenBaseline, moments: Mapping[int, Moment]) -> EpisodeEvent:
    last = moments.get(row.stop_place - 1)
    return EpisodeEvent(
        EventKind.BASELINE,
        f"baseline {row.baseline_id} frozen; the trace time is its window's end",
        at=row.created_at,
        trace_time=None if last is None else last.trace_time,
        place=row.stop_place,
        by=row.created_by,
        note=row.note,
    )


def _began(stored: StoredAlarm, moments: Mapping[int, Moment]) -> Iterator[EpisodeEvent]:
    alarm = stored.alarm
    if stored.policy_since is not None:
        what = f"first trace of {alarm.stream.policy_model}"
        yield EpisodeEvent(EventKind.RELEASE, what, trace_time=stored.policy_since)
    onset = moments.get(alarm.onset_place)
    yield EpisodeEvent(
        EventKind.ONSET,
        "began, by the evidence",
        at=None if onset is None else onset.logged_at,
        trace_time=alarm.onset_timestamp,
        place=alarm.onset_place,
    )


def _decided(member: StoredAlarm) -> Iterator[EpisodeEvent]:
    alarm = member.alarm
    kind = EventKind.ALERT if alarm.severity is Severity.ALERT else EventKind.WARNING
    what = f"{alarm.severity.value} {member.alarm_id} raised"
    yield EpisodeEvent(kind, what, at=member.created_at, trace_time=alarm.timestamp, place=alarm.place)


def _judged(stored: StoredAlarm) -> Iterator[EpisodeEvent]:
    if stored.reference_verdict is not None:
        what = f"the released policy, asked again: {stored.reference_verdict.replace('_', ' ')}"
        yield EpisodeEvent(EventKind.VERDICT, what, at=stored.reference_verdict_at, note=stored.reference_note)
    if stored.scorer_verdict is not None:
        what = f"the anchor set, scored again: {stored.scorer_verdict.replace('_', ' ')}"
        yield EpisodeEvent(EventKind.VERDICT, what, at=stored.scorer_verdict_at, note=stored.scorer_note)


def _ordered(row: GivenOrder) -> EpisodeEvent:
    order = row.action.partition(".")[2].replace("_", " ")
    told = [f"until {row.detail['until']}"] if row.detail.get("until") else []
    told += [str(row.detail["note"])] if row.detail.get("note") else []
    return EpisodeEvent(EventKind.ORDER, f"{order}: {row.subject}", at=row.at, by=row.actor, note="; ".join(told))


def _started(job: Job) -> EpisodeEvent:
    what = f"job {job.job_id} started: {job.action.replace('_', ' ')}"
    return EpisodeEvent(EventKind.JOB, what, at=job.created_at, by=job.requested_by, note=job.reason)


def _released(row: Released) -> EpisodeEvent:
    kind = EventKind.ROLL_BACK if row.taken_back else EventKind.PROMOTION
    what = f"{row.version or 'candidate'} {'taken back' if row.taken_back else 'promoted'} by job {row.job_id}"
    return EpisodeEvent(kind, what, at=row.at, by=row.actor, note=row.action.replace("_", " "))


def _ended(stored: StoredAlarm, moments: Mapping[int, Moment]) -> Iterable[EpisodeEvent]:
    if stored.state is not AlarmState.RECOVERED and stored.recovered_at is None:
        return
    back = None if stored.recovered_place is None else moments.get(stored.recovered_place)
    yield EpisodeEvent(
        EventKind.RECOVERY,
        "back inside what is accepted",
        at=stored.recovered_at,
        trace_time=None if back is None else back.trace_time,
        place=stored.recovered_place,
    )
