"""What the log tells of who sends: when something came, from whom, and what came with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field
from datetime import datetime
from io import BytesIO
from math import exp
from typing import Any, TypeVar

import msgspec
import numpy as np

from monitor.domain.alarm import Alarm, AlarmKind
from monitor.domain.cohort import ALL
from monitor.domain.observation import EPOCH
from monitor.domain.stream import StreamKey
from monitor.stats.presence import Presence
from monitor.stats.rhythm import KEPT, Rhythms

Name = TypeVar("Name")
KINDS = (AlarmKind.NO_DATA, AlarmKind.SCORER_SILENT, AlarmKind.PRODUCER_STALLED, AlarmKind.UNWATCHED_COHORT)
WHOLE_LOG = StreamKey(ALL, ALL, ALL, ALL)
MAX_POLICY_MODELS = 50  # followed apart, as the fold follows them
LOG_ROW, FORWARD_ROW = 0, 0
_ARRAYS = {"rhythms", "presence", "ratio", "marks", "sent", "moved"}
_KEYED = {"streams", "signals", "present", "counts"}
AGE_SECONDS = 28 * 86_400.0  # after which what usually comes with a record is told from newer ones


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


def cohort_key(cohort: str) -> StreamKey:
    return StreamKey(ALL, cohort, ALL, ALL)


def policy_key(model: str) -> StreamKey:
    return StreamKey(ALL, ALL, model, ALL)


def signal_key(signal: str, cohort: str = ALL) -> StreamKey:
    return StreamKey(signal, cohort, ALL, ALL)


class Senders:
    """The rhythm of each sender, and how often each signal comes with its traces; changed in place.

    The rows of `rhythms` are the whole log, cohorts, policy models and partitions; those of `presence`
    are a newer timestamp, and each signal over all cohorts and in each.
    """

    def __init__(self, at: datetime) -> None:
        self.rhythms = Rhythms(1, at.timestamp())
        self.presence = Presence(1)
        self.streams: dict[StreamKey, int] = {WHOLE_LOG: LOG_ROW}
        self.partitions: dict[str, int] = {}
        self.offsets: dict[str, int] = {}
        self.signals: dict[StreamKey, int] = {}  # row 0 is not among them
        self.present: dict[StreamKey, float] = {}  # when each last came
        self.counts: dict[StreamKey, int] = {}  # observations of each cohort and scorer, under `baseline`
        self.baseline: int | None = None
        self.next_sequence = 1
        self.next_place = 0
        self.entry_at = at.timestamp()  # of the latest entry, of any source
        self.quiet_from = at.timestamp()  # silences begin here or later: nobody looked before
        self.live = False  # what comes now was made since `quiet_from`: it is no backlog
        self.newest = 0.0  # timestamp; one from the future counts as now
        self.forward_at = at.timestamp()  # when it last went forward
        self.traces = 0.0  # over all
        self.ratio = np.zeros(2)  # traces that came of late, and arrivals that were expected meanwhile
        self.marks = np.zeros((1, 3))  # at a row's last arrival: `traces`, the log's clock, traces an expected arrival
        self.sent = np.zeros(1)  # traces by row
        self.moved: set[StreamKey] = set()  # policy models whose traffic others took over
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
        self._arrive(entry, records, learn=learn)
        self._accompany(entry, records, learn=learn)
        for key, count in entry.seen.items():
            for counted in (cohort_key(key.cohort), StreamKey(key.signal, ALL, ALL, key.scorer_version)):
                self.counts[counted] = self.counts.get(counted, 0) + count

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
            self.baseline, self.counts = baseline, {}

    def to_bytes(self) -> bytes:
        """Return the state as `of_bytes` takes it."""
        told = {name: value for name, value in vars(self).items() if name not in _ARRAYS}
        for name, keyed in told.items():
            if name in _KEYED:
                told[name] = [(list(astuple(key)), value) for key, value in keyed.items()]
        told["moved"] = [list(astuple(key)) for key in sorted(self.moved)]
        arrays: dict[str, Any] = {"told": np.frombuffer(msgspec.json.encode(told), dtype=np.uint8)}
        for part in ("rhythms", "presence"):
            for name, array in getattr(self, part).arrays().items():
                arrays[f"{part}.{name}"] = array.astype("<f4" if array.ndim > 1 else "<f8")
        file = BytesIO()
        np.savez_compressed(file, at=self.rhythms.at, ratio=self.ratio, marks=self.marks, sent=self.sent, **arrays)
        return file.getvalue()

    @classmethod
    def of_bytes(cls, content: bytes) -> Senders:
        """Return what `to_bytes` has kept."""
        with np.load(BytesIO(content), allow_pickle=False) as stored:
            told = msgspec.json.decode(stored["told"].tobytes())
            senders = cls(EPOCH)
            senders.rhythms.at = float(stored["at"])
            senders.ratio, senders.marks, senders.sent = stored["ratio"], stored["marks"], stored["sent"]
            for part in ("rhythms", "presence"):
                own = getattr(senders, part)
                own.restore({name: stored[f"{part}.{name}"].astype(np.float64) for name in own.arrays()})
        for name, value in told.items():
            kept = {StreamKey(*key): item for key, item in value} if name in _KEYED else value
            setattr(senders, name, kept)
        senders.moved = {StreamKey(*key) for key in told["moved"]}
        return senders

    def _arrive(self, entry: Arrivals, records: int, *, learn: bool) -> None:
        sent = {WHOLE_LOG: records}
        for group in (_by(entry, "cohort", cohort_key), _by(entry, "policy_model", policy_key)):
            sent |= group
        known = len([key for key in self.streams if key.policy_model != ALL])
        new = [key for key in sent if key.policy_model != ALL and key not in self.streams]
        for key in new[max(MAX_POLICY_MODELS - known, 0) :]:
            del sent[key]
        rows = np.array([self._row(self.streams, key) for key in sent], dtype=np.intp)
        fade = exp(-self.ratio[1] / KEPT) if self.ratio[1] > KEPT else 1.0
        self.ratio = np.array([self.ratio[0] + records, self.ratio[1]]) * fade
        self.traces += records
        self.rhythms.arrive(rows, learn=learn)
        self.sent[rows] += np.array(list(sent.values()), dtype=np.float64)
        self.marks[rows] = self.traces, self.rhythms.clock[LOG_ROW], self.ratio[0] / max(self.ratio[1], 1e-9)
        self.moved -= sent.keys()

    def _accompany(self, entry: Arrivals, records: int, *, learn: bool) -> None:
        """Note which signals came with the traces of which cohorts, and whether their timestamps went forward."""
        of_cohort = {key.cohort: float(count) for key, count in _by(entry, "cohort", cohort_key).items()}
        found: dict[StreamKey, float] = {}
        for key, count in entry.seen.items():
            for of in (signal_key(key.signal), signal_key(key.signal, key.cohort)):
                found[of] = found.get(of, 0.0) + count
        for key in found:
            if key not in self.signals:
                self.signals[key] = 1 + len(self.signals)
        if len(self.presence) < 1 + len(self.signals):
            self.presence.grow(1 + len(self.signals))
        self.present |= dict.fromkeys(found, self.rhythms.at)
        newest = 0.0 if entry.last_timestamp is None else min(entry.last_timestamp.timestamp(), entry.at.timestamp())
        forward = newest > self.newest
        if forward:
            self.newest, self.forward_at = newest, self.rhythms.at
        all_cohorts = sum(of_cohort.values())
        came = [
            float(records),
            *(all_cohorts if key.cohort == ALL else of_cohort.get(key.cohort, 0.0) for key in self.signals),
        ]
        had = [records * float(forward), *(found.get(key, 0.0) for key in self.signals)]
        self.presence.add(np.array(came), np.array(had), learn=learn)
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


def _by(entry: Arrivals, field: str, key_of: Callable[[str], StreamKey]) -> dict[StreamKey, int]:
    """Return how many traces are observed by *field*: the most that one signal has."""
    counts: dict[tuple[str, str], int] = {}
    for key, count in entry.seen.items():
        of = getattr(key, field), key.signal
        counts[of] = counts.get(of, 0) + count
    most: dict[StreamKey, int] = {}
    for (name, _), count in counts.items():
        key = key_of(name)
        most[key] = max(most.get(key, 0), count)
    return most


def _reaches(timestamp: datetime | None, moment: float) -> bool:
    return timestamp is not None and timestamp.timestamp() >= moment
