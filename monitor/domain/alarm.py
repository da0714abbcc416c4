"""An alarm: a statistical decision about one stream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from monitor.domain.stream import StreamKey


class AlarmKind(StrEnum):
    DRIFT = "drift"  # a stream's values moved, by more than its baseline allows
    INPUT_SHIFT = "input_shift"  # what is asked moved: a possible cause of the others, never a page by itself
    NO_DATA = "no_data"  # nothing comes, though by its own rhythm something should
    SCORER_SILENT = "scorer_silent"  # traces come, and their scores do not
    PRODUCER_STALLED = "producer_stalled"  # records come without newer timestamps, or a partition brings none
    UNWATCHED_COHORT = "unwatched_cohort"  # a cohort has traffic and no baseline

    @property
    def tells_of_absence(self) -> bool:
        """Say whether it is about what does not come, or is not watched: no trace decided it, and it has no effect."""
        return self not in {AlarmKind.DRIFT, AlarmKind.INPUT_SHIFT}

    @property
    def against_baseline(self) -> bool:
        """Say whether such an alarm means nothing any more once another baseline is frozen."""
        return self in {AlarmKind.DRIFT, AlarmKind.INPUT_SHIFT, AlarmKind.UNWATCHED_COHORT}


class Direction(StrEnum):
    UP = "up"
    DOWN = "down"


class Severity(StrEnum):
    WARNING = "warning"  # the stream has changed at all
    ALERT = "alert"  # it has changed by more than is accepted


class AlarmState(StrEnum):
    OPEN = "open"  # -> acknowledged, snoozed, recovered, superseded
    ACKNOWLEDGED = "acknowledged"  # an operator has seen it -> open (by hand), snoozed, recovered, superseded
    SNOOZED = "snoozed"  # tells nobody until a time -> open (by itself, then, or by hand), acknowledged, and as above
    RECOVERED = "recovered"  # nothing of late says that the stream is still drifted; it may alarm again -> superseded
    # A new baseline was frozen, or an alert took a warning's place, or another scorer the stream's: a roll-back to that
    # scorer opens the alarm again. Otherwise final.
    SUPERSEDED = "superseded"

    @property
    def is_live(self) -> bool:
        """Say whether what the alarm tells still holds, whatever people did about it."""
        return self in {AlarmState.OPEN, AlarmState.ACKNOWLEDGED, AlarmState.SNOOZED}


class ReferenceVerdict(StrEnum):
    """What asking the released policy again has told about a drift."""

    ASKING = "asking"  # not known yet, and the page waits for it
    POLICY_CHANGED = "policy_changed"  # to the same prompts it answers otherwise than the policy that is watched
    TRAFFIC_CHANGED = "traffic_changed"  # it answers alike: the prompts moved; such an alarm pages nobody
    UNDECIDED = "undecided"  # the prompts, the budget or the page's patience came to an end first


class ScorerVerdict(StrEnum):
    """What the anchor set, scored again, has told about a drift of rewards."""

    SCORER_CHANGED = "scorer_changed"  # fixed answers are scored otherwise than before
    POLICY_CHANGED = "policy_changed"  # they are scored as before
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Effect:
    """How far the mean since the onset lies from the baseline's mean."""

    estimate: float
    lower: float
    upper: float
    unit: str


@dataclass(frozen=True, slots=True)
class Decomposition:
    """How much of a raw change what was asked explains, and how much the model; `raw` is their sum."""

    raw: float
    prompts: float
    model: float
    unit: str


def shown_change(unit: str) -> tuple[float, str]:
    """Return what a change is multiplied by for people, and its unit: a rate moves by points of a hundred."""
    return (100.0, "points") if unit == "ratio" else (1.0, unit)


@dataclass(frozen=True, slots=True)
class Alarm:
    """What was found; places count all subjects in the log, from 0.

    A drift names its stream. Another kind has a `StreamKey` with `cohort.ALL` wherever nothing applies,
    no direction, no evidence and no effect, and tells in `detail` what it found.
    """

    stream: StreamKey
    direction: Direction | None
    severity: Severity
    place: int  # of the observation that decided; the log's next place where none did
    trace_id: str | None  # of its subject, if that is a trace
    timestamp: datetime
    onset_place: int
    onset_timestamp: datetime
    observations: int  # of the stream, since the baseline was frozen
    evidence_log: float | None  # log e / log of what its severity takes, at the decision
    effect: Effect | None
    examples: tuple[str, ...] = ()  # trace ids since the onset, most telling first
    episode: int = 0  # of the stream under its baseline; a stream that has recovered may begin another
    kind: AlarmKind = AlarmKind.DRIFT
    detail: str = ""  # for people
    decomposition: Decomposition | None = None


@dataclass(frozen=True, slots=True)
class Recovery:
    """A stream's open episode has ended: nothing of late says that it is still drifted."""

    stream: StreamKey
    episode: int
    place: int
    kind: AlarmKind = AlarmKind.DRIFT


@dataclass(frozen=True, slots=True)
class StoredAlarm:
    alarm_id: int
    state: AlarmState
    alarm: Alarm
    created_at: datetime
    acknowledged_by: str | None = None
    recovered_at: datetime | None = None
    snoozed_until: datetime | None = None  # None unless it is snoozed
    incident_id: int | None = None  # None for the moment between an older release's insert and the leader's next step
    reference_verdict: ReferenceVerdict | None = None  # None: nobody has asked
    reference_verdict_at: datetime | None = None
    reference_note: str = ""  # what the verdict rests on, for people
    scorer_verdict: ScorerVerdict | None = None
    scorer_verdict_at: datetime | None = None
    scorer_note: str = ""
    trace_number: int | None = None  # of the alarm's place, counted from 0 over traces alone; None: not counted
    onset_trace_number: int | None = None
    baseline_id: int | None = None  # None: it is against no baseline
    recovered_place: int | None = None
    policy_since: datetime | None = None  # when its policy model came, if that was shortly before the onset
