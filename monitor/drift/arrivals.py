"""What the log tells of who sends: when something came, from whom, and what came with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from math import exp
from typing import Any, TypeVar

import msgspec
import numpy as np

from monitor.domain.alarm import Alarm, AlarmKind, Recovery
from monitor.domain.cohort import ALL
from monitor.domain.observation import EPOCH
from monitor.domain.stream import StreamKey
from monitor.drift.stored import Filing
from monitor.stats.presence import Presence
from monitor.stats.rhythm import KEPT, Rhythms

Name = TypeVar("Name")
KINDS = (AlarmKind.NO_DATA, AlarmKind.SCORER_SILENT, AlarmKind.PRODUCER_STALLED, AlarmKind.UNWATCHED_COHORT)
Sender = tuple[str, str]  # cohort and policy model; `cohort.ALL` where it is not one
WHOLE_LOG: Sender = (ALL, ALL)
MAX_POLICY_MODELS = 50  # followed apart, as the fold follows them
LOG_ROW, FORWARD_ROW = 0, 0
AGE_SECONDS = 28 * 86_400.0  # after which what usually comes with a trace is told from newer ones
_PARTS, _ARRAYS, _KEYED = (
    ("rhythms", "presence"),
    ("present", "ratio", "marks", "sent"),
    ("streams", "signals", "scorers"),
)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What one entry of the log tells of who sends."""

    sequence: int
    next_place: int  # after its subjects
    at: datetime  # when it was written
    traces: int  # it holds, repeats included
    duplicates: int  # read with them, and not stored again
    last_timestamp: datetime | None  # the latest of its traces'
    seen: Mapping[StreamKey, int]  # observations by signal, cohort, policy model and scorer


@dataclass(frozen=True, slots=True)
class RaisedBefore:
    """The watch's alarms that still hold, in the order they were raised, and each stream's next episode."""

    live: tuple[Alarm, ...] = ()
    episodes: Mapping[tuple[AlarmKind, StreamKey], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one look makes true together."""

    alarms: Sequence[Alarm]
    recoveries: Sequence[Recovery]
    baseline_id: int | None  # the active one it knew
    filing: Filing  # asked within the transaction, about the alarms that have no incident yet


@dataclass(frozen=True, slots=True)
class Tally:
    """How many traces of an entry are observed: of each cohort and policy model, and with each signal.

    A cohort has as many as its most frequent signal.
    """

    senders: dict[Sender, int]
    signals: dict[tuple[str, str], int]  # signal and cohort; `cohort.ALL` is all of them

    @classmethod
    def of(cls, seen: Mapping[StreamKey, int]) -> Tally:
        signals: dict[tuple[str, str], int] = {}
        models: dict[tuple[str, str], int] = {}
        for key, count in seen.items():
            for cohort in (key.cohort, ALL):
                signals[key.signal, cohort] = signals.get((key.signal, cohort), 0) + count
            models[key.signal, key.policy_model] = models.get((key.signal, key.policy_model), 0) + count
        senders: dict[Sender, int] = {}
        for (_, cohort), count in signals.items():
            if cohort != ALL:
                senders[cohort, ALL] = max(senders.get((cohort, ALL), 0), count)
        for (_, model), count in models.items():
            senders[ALL, model] = max(senders.get((ALL, model), 0), count)
        return cls(senders, signals)


class Senders:
    """The rhythm of each sender, and how often each signal comes with its traces; changed in place.

    The rows of `rhythms` are the whole log, cohorts, policy models and partitions; those of `presence`
    are a newer timestamp, and each signal over all cohorts and in each.
    """

    def __init__(self, at: datetime) -> None:
        self.rhythms = Rhythms(1, at.timestamp())
        self.presence = Presence(1)
        self.streams: dict[Sender, int] = {WHOLE_LOG: LOG_ROW}
        self.partitions: dict[str, int] = {}
        self.offsets: dict[str, int] = {}
        self.signals: dict[tuple[str, str], int] = {}  # signal and cohort; row 0 is not among them
        self.present = np.full(1, at.timestamp())  # when each row of `presence` last came
        self.cohorts: dict[str, int] = {}  # observations of each under `baseline`
        self.scorers: dict[tuple[str, str], int] = {}  # likewise, of each signal and scorer
        self.baseline: int | None = None
        self.next_sequence = 1
        self.next_place = 0
        self.entry_at = at.timestamp()  # of the latest entry, of any source
        self.quiet_from = at.timestamp()  # silences begin here or later: nobody looked before
        self.live = False  # what comes now was made since `quiet_from`: it is no backlog
        self.stopped = False  # the whole log was found silent, and nothing has come since
        self.newest = 0.0  # timestamp; one from the future counts as now
        self.traces = 0.0  # over all
        self.ratio = np.zeros(2)  # traces that came of late, and arrivals that were expected meanwhile
        self.marks = np.zeros((1, 3))  # at a row's last arrival: `traces`, the log's clock, traces an expected arrival
        self.sent = np.zeros(1)  # traces by row
        self.moved: set[Sender] = set()  # policy models whose traffic others took over
        self.aged_at = at.timestamp()

    def add(self, entry: Arrivals, *, unread_after_seconds: float) -> None:
        """Take *entry*, the next of the log; a longer pause before it means that nobody read."""
        at = entry.at.timestamp()
        if at - self.entry_at > unread_after_seconds:
            self.pass_time(at)
            self.begin_quiet(at)
        self.entry_at = max(self.entry_at, at)
        self.pass_time(at)
        self.next_sequence, self.next_place = entry.sequence + 1, entry.next_place
        records = entry.traces + entry.duplicates
        if not records:
            return
        learn, self.live = self.live, self.live or _reaches(entry.last_timestamp, self.quiet_from)
        tally = Tally.of(entry.seen)
        self._arrive(tally, records, learn=learn)
        self._accompany(tally, entry, records, learn=learn)
        for key, count in entry.seen.items():
            self.cohorts[key.cohort] = self.cohorts.get(key.cohort, 0) + count
            scorer = key.signal, key.scorer_version
            self.scorers[scorer] = self.scorers.get(scorer, 0) + count
        if self.stopped:  # who is not in its first entry may be in the next one
            self.begin_quiet(at)
            self.stopped = False

    def pass_time(self, to: float) -> None:
        before = self.rhythms.clock[LOG_ROW]
        self.rhythms.advance(to, learn=self.live)
        self.ratio[1] += self.rhythms.clock[LOG_ROW] - before

    def begin_quiet(self, at: float) -> None:
        """Begin all silences at *at*, since nobody looked before, and wait until what is read was made since then."""
        self.rhythms.forget_silence()
        self.presence.waited[:] = 0.0
        self.quiet_from, self.live = at, False

    def look_at(self, offsets: Mapping[str, int]) -> None:
        """Take how far each partition is read now; one that has moved has an arrival."""
        moved = [name for name, offset in offsets.items() if offset != self.offsets.get(name, offset)]
        rows = np.array([self._row(self.partitions, name) for name in moved], dtype=np.intp)
        self.rhythms.arrive(rows, learn=self.live)
        self.offsets = dict(offsets)

    def count_under(self, baseline: int | None) -> None:
        """Begin to count anew under another baseline."""
        if baseline != self.baseline:
            self.baseline, self.cohorts, self.scorers = baseline, {}, {}

    def to_bytes(self) -> bytes:
        """Return the state as `of_bytes` takes it."""
        told = {name: value for name, value in vars(self).items() if name not in {*_PARTS, *_ARRAYS}}
        told |= {name: list(told[name].items()) for name in _KEYED}
        arrays: dict[str, Any] = {"told": np.frombuffer(msgspec.json.encode(told), dtype=np.uint8)}
        arrays |= {name: getattr(self, name) for name in _ARRAYS}
        for part in _PARTS:
            for name, array in getattr(self, part).arrays().items():
                arrays[f"{part}.{name}"] = array.astype("<f4" if array.ndim > 1 else "<f8")
        file = BytesIO()
        np.savez_compressed(file, at=self.rhythms.at, **arrays)
        return file.getvalue()

    @classmethod
    def of_bytes(cls, content: bytes) -> Senders:
        """Return what `to_bytes` has kept."""
        senders = cls(EPOCH)
        with np.load(BytesIO(content), allow_pickle=False) as stored:
            senders.rhythms.at = float(stored["at"])
            for part in _PARTS:
                own = getattr(senders, part)
                own.restore({name: stored[f"{part}.{name}"].astype(np.float64) for name in own.arrays()})
            for name in _ARRAYS:
                setattr(senders, name, stored[name].astype(np.float64))
            told = msgspec.json.decode(stored["told"].tobytes())
        for name, value in told.items():
            setattr(senders, name, {tuple(key): item for key, item in value} if name in _KEYED else value)
        senders.moved = {(cohort, model) for cohort, model in told["moved"]}
        return senders

    def _arrive(self, tally: Tally, records: int, *, learn: bool) -> None:
        """Note who sent, policy models up to a number."""
        sent: dict[Sender, int] = {WHOLE_LOG: records, **tally.senders}
        models = sum(model != ALL for _, model in self.streams)
        new = [sender for sender in tally.senders if sender[1] != ALL and sender not in self.streams]
        for sender in new[max(MAX_POLICY_MODELS - models, 0) :]:
            del sent[sender]
        rows = np.array([self._row(self.streams, sender) for sender in sent], dtype=np.intp)
        fade = exp(-self.ratio[1] / KEPT) if self.ratio[1] > KEPT else 1.0
        self.ratio = np.array([self.ratio[0] + records, self.ratio[1]]) * fade
        self.traces += records
        self.rhythms.arrive(rows, learn=learn)
        self.sent[rows] += np.array(list(sent.values()), dtype=np.float64)
        self.marks[rows] = self.traces, self.rhythms.clock[LOG_ROW], self.ratio[0] / max(self.ratio[1], 1e-9)
        self.moved -= sent.keys()

    def _accompany(self, tally: Tally, entry: Arrivals, records: int, *, learn: bool) -> None:
        """Note which signals came with the traces of which cohorts, and whether their timestamps went forward."""
        for signal in tally.signals:
            self.signals.setdefault(signal, 1 + len(self.signals))
        if len(self.presence) < 1 + len(self.signals):
            self.presence.grow(1 + len(self.signals))
            self.present = np.append(self.present, np.zeros(len(self.presence) - len(self.present)))
        newest = 0.0 if entry.last_timestamp is None else min(entry.last_timestamp, entry.at).timestamp()
        forward, self.newest = newest > self.newest, max(newest, self.newest)
        of_cohort = {cohort: count for (cohort, model), count in tally.senders.items() if model == ALL}
        of_cohort[ALL] = sum(of_cohort.values())
        came = np.array([records, *(of_cohort.get(cohort, 0) for _, cohort in self.signals)], dtype=np.float64)
        had = np.array(
            [records * forward, *(tally.signals.get(signal, 0) for signal in self.signals)], dtype=np.float64
        )
        self.presence.add(came, had, learn=learn)
        self.present[had > 0.0] = self.rhythms.at
        if self.rhythms.at - self.aged_at > AGE_SECONDS:
            self.presence.age()
            self.aged_at = self.rhythms.at

    def _row(self, rows: dict[Name, int], name: Name) -> int:
        if name not in rows:
            rows[name] = len(self.rhythms)
            self.rhythms.grow(len(self.rhythms) + 1)
            self.marks = np.vstack([self.marks, np.zeros((1, 3))])
            self.sent = np.append(self.sent, 0.0)
        return rows[name]


def _reaches(timestamp: datetime | None, moment: float) -> bool:
    return timestamp is not None and timestamp.timestamp() >= moment
