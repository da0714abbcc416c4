"""Folding the log of observations into detectors, and what they decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Recovery, Severity
from monitor.domain.cohort import ALL, UNLABELLED
from monitor.domain.observation import EPOCH, ObservationBatch, PlacedEntry
from monitor.domain.stream import StreamKey
from monitor.drift.asked import Asked, Shift, read_asked, shift_detector, shift_key
from monitor.drift.baseline import ANY_POLICY, Baseline
from monitor.drift.budget import Budget, WindowPaces
from monitor.drift.daily import Days, StreamDay
from monitor.drift.detector import Detector
from monitor.drift.followed import capped
from monitor.drift.kinds import Mix
from monitor.drift.null import Foretold, Null
from monitor.drift.stored import StoredStream
from monitor.drift.stream import Decision, Episode, Follower, Rows, Stream
from monitor.stats.edetector import State
from monitor.stats.eprocess import Mixture


@dataclass(frozen=True, slots=True)
class FoldRules:
    """When a stream alarms, and when it has come back."""

    budget: Budget = Budget()
    patience: int = 2000  # observations after which a warning is looked at again


class Fold:
    """All streams under one baseline.

    Folding the same entries in the same order gives the same decisions, wherever the
    entries are cut and however often the work is taken up again from stored streams.
    """

    def __init__(self, baseline: Baseline, rules: FoldRules) -> None:
        self.baseline = baseline
        self.rules = rules
        self.at: datetime | None = None  # the log's own time, told by every entry; it never goes back
        self.streams: dict[StreamKey, Stream] = {}
        self.mixes: dict[StreamKey, Mix] = {}  # of recent prompts, by the streams of the input shift
        self.leans: dict[StreamKey, float] = {}  # how far what recent prompts let expect lies from the window's
        self._nulls: dict[StreamKey, Null | None] = {}
        self._laws = {law.key: law.law() for law in baseline.signals}
        self._reached = EPOCH  # the traffic's time at the entry at hand
        self.days = Days(rules.budget, WindowPaces.of(baseline, baseline.window_days))

    def add(self, entry: PlacedEntry) -> list[Decision | Recovery]:
        """Fold *entry*: its time, what was asked, and its observations past the baseline's window."""
        self.at = entry.at if self.at is None else max(self.at, entry.at)
        if entry.last_timestamp is not None:  # a clock that runs ahead of the log begins no day
            self._reached = min(entry.last_timestamp, entry.at)
        asked = read_asked(entry, self.baseline, self.mixes)
        outcomes: list[Decision | Recovery] = []
        known = {key.policy_model for key in self.streams} - {ANY_POLICY}
        watched = [batch.between(self._followed_from(batch)) for batch in entry.observations]
        for shift in asked.shifts:
            assert entry.last_timestamp is not None
            outcomes += self._asked(shift, entry.last_timestamp)
        for batch in capped(watched, known, self._first_watched):
            assert entry.last_timestamp is not None  # an entry with observations has subjects
            outcomes += self._observe(batch, asked, entry)
        return outcomes

    def detector(self, key: StreamKey) -> Detector | None:
        """Return what *key* bets by; None where the baseline holds no law for it."""
        if key == shift_key(key.cohort):
            law = self.baseline.prompts
            mix = None if law is None else law.mix(key.cohort)
            return None if mix is None else shift_detector(mix)
        null = self._null(key)
        return None if null is None else null.detector

    def evidence_log(self, key: StreamKey) -> float:
        """Return log e / log A: 1 is the alarm, 0 and below is nothing."""
        detector = self.detector(key)
        assert detector is not None
        return self._follower(key, detector, self.streams[key].day).evidence_log(self.streams[key])

    def _followed_from(self, batch: ObservationBatch) -> int:
        law = self.baseline.get(batch.series.signal, batch.series.scorer_version)
        return self.baseline.stop_place if law is None else max(self.baseline.stop_place, law.since)

    def _first_watched(self, batch: ObservationBatch) -> int | None:
        """Return the first place of *batch* that a stream reads; None where none does."""
        law = self.baseline.get(batch.series.signal, batch.series.scorer_version)
        strata = {} if law is None else law.for_policy(batch.series.policy_model)
        codes = [code for code, name in enumerate(batch.cohorts) if name in strata]
        places = batch.places[np.isin(batch.cohort_codes, codes)]
        return int(places[0]) if len(places) else None

    def _asked(self, shift: Shift, timestamp: datetime) -> list[Decision | Recovery]:
        """Fold the kinds of prompts of one cohort."""
        self.mixes[shift.key] = shift.mix
        return self._carry(shift.key, shift.detector, shift.rows, values=shift.distances, timestamp=timestamp)

    def _observe(self, batch: ObservationBatch, asked: Asked, entry: PlacedEntry) -> list[Decision | Recovery]:
        """Fold *batch* into its cohorts' streams and the roll-up."""
        series = batch.series
        law = self.baseline.get(series.signal, series.scorer_version)
        if law is None or not len(batch.values):
            return []
        assert entry.last_timestamp is not None
        at = batch.places - entry.first_place
        said, spread = (column[at] for column in asked.expected(law, entry.places))
        outcomes: list[Decision | Recovery] = []
        for cohort in (ALL, *batch.cohorts):
            key = StreamKey(series.signal, cohort, series.policy_model, series.scorer_version)
            null = None if cohort == UNLABELLED else self._null(key)
            if null is None:
                continue
            row_of = np.array([null.rows.get(name, -1) for name in batch.cohorts], dtype=np.int64)[batch.cohort_codes]
            chosen = np.flatnonzero(row_of >= 0)
            if not len(chosen):
                continue
            strata, foretold, scale = row_of[chosen], said[chosen], spread[chosen]
            moved, stakes = asked.of_rows(at[chosen], law)
            least = None if batch.inclusion is None else batch.inclusion[chosen]
            lean, self.leans[key] = null.leaning(strata, foretold, self.leans.get(key, 0.0))
            prompts = Foretold(strata, foretold, null.located(strata, foretold), scale, lean)
            channels = law.scale.channels(batch.values[chosen], prompts.location, scale, null.law)
            beyond = None if least is None else law.scale.beyond(least, null.law)
            intervals = null.intervals(prompts, distance=moved, stakes=stakes, beyond=beyond)
            rows = Rows.of(null.detector, channels, intervals, batch.places[chosen])
            outcomes += self._carry(
                key, null.detector, rows, values=batch.values[chosen], timestamp=entry.last_timestamp
            )
        return outcomes

    def _carry(
        self, key: StreamKey, detector: Detector, rows: Rows, *, values: NDArray[np.float64], timestamp: datetime
    ) -> list[Decision | Recovery]:
        """Carry *key* on over *rows*, whose values in the signal's unit are *values*."""
        # A day begins with a stream that tells of it: after a restart the streams are all that is known of the days.
        self.days.turn(self._reached, ((known, stream.day) for known, stream in self.streams.items()))
        before = self.streams.get(key)
        mixture = Mixture.of(np.asarray(detector.channels))
        day = self.days.begin(key, None if before is None else before.day, mixture)
        if before is None:
            before = Stream(detector.empty(), 0, 0.0, timestamp, day)
        growth = np.log(rows.bets[:, : len(mixture.weights)]).sum(axis=0)
        before = replace(before, day=day)
        after, found = self._follower(key, detector, day).advance(before, rows)
        mean = before.mean + float((values - before.mean).sum()) / after.observations
        self.streams[key] = replace(
            after,
            mean=mean,
            last_timestamp=max(before.last_timestamp, timestamp),
            day=day.after(len(rows), growth),
        )
        return found

    def _follower(self, key: StreamKey, detector: Detector, day: StreamDay) -> Follower:
        lengths = self.days.thresholds(day)
        null = self._null(key)
        if null is not None and not null.steady:
            lengths = {Severity.WARNING: lengths[Severity.WARNING]}
        return Follower(key, detector, lengths, self.rules.patience)

    def _null(self, key: StreamKey) -> Null | None:
        """Return what the stream *key* bets against; None where the baseline holds no law for it."""
        if key not in self._nulls:
            law = self.baseline.get(key.signal, key.scorer_version)
            chosen = [] if law is None else law.followed(key.cohort, key.policy_model)
            self._nulls[key] = (
                Null.of(law, chosen, key.cohort, window=self._laws[law.key]) if law is not None and chosen else None
            )
        return self._nulls[key]


def in_fold_order(decisions: Iterable[Decision]) -> list[Decision]:
    """Order by place, roll-up first, so that the same log always tells the same story.

    One observation may reach both severities: the warning comes first, for the alert takes its place.
    """
    rank = list(Severity).index
    return sorted(decisions, key=lambda d: (d.place, d.stream.cohort != ALL, d.stream, rank(d.severity)))


class Kept(msgspec.Struct, frozen=True):
    """A stream's evidence as it is stored."""

    evidence: bytes
    day: bytes
    mix: bytes | None
    lean: float = 0.0


class KeptEpisode(msgspec.Struct, frozen=True):
    """What an open episode goes by, as it is stored."""

    up: bool
    channel: int
    returned: bytes


def store(fold: Fold, keys: Iterable[StreamKey]) -> dict[StreamKey, StoredStream]:
    """Return the streams *keys* of *fold* as they are kept."""
    stored = {}
    for key in keys:
        stream = fold.streams[key]
        episode, mix = stream.episode, fold.mixes.get(key)
        kept = Kept(
            evidence=stream.evidence.to_bytes(),
            day=stream.day.to_bytes(),
            mix=None if mix is None else mix.shares.astype("<f8").tobytes(),
            lean=fold.leans.get(key, 0.0),
        )
        going = None if episode is None else KeptEpisode(episode.up, episode.channel, episode.returned.to_bytes())
        stored[key] = StoredStream(
            evidence=msgspec.msgpack.encode(kept),
            evidence_log=fold.evidence_log(key),
            observations=stream.observations,
            mean=stream.mean,
            last_timestamp=stream.last_timestamp,
            episode=stream.episode_number,
            severity=None if episode is None else episode.severity,
            since=None if episode is None else episode.since,
            patience=None if episode is None else episode.patience,
            renewed=None if going is None else msgspec.msgpack.encode(going),
        )
    return stored


def restore(fold: Fold, stored: Mapping[StreamKey, StoredStream]) -> None:
    """Let *fold* go on with *stored*; what its baseline holds no law for is left out."""
    for key, row in stored.items():
        detector = fold.detector(key)
        if detector is None:
            continue
        kept = msgspec.msgpack.decode(row.evidence, type=Kept)
        episode = None
        if row.severity is not None and row.since is not None and row.patience is not None and row.renewed is not None:
            going = msgspec.msgpack.decode(row.renewed, type=KeptEpisode)
            returned = State.from_bytes(going.returned)
            episode = Episode(row.severity, row.since, row.patience, going.up, going.channel, returned)
        fold.leans[key] = kept.lean
        if kept.mix is not None:
            fold.mixes[key] = Mix(np.frombuffer(kept.mix, "<f8").copy())
        fold.streams[key] = Stream(
            evidence=detector.load(kept.evidence),
            observations=row.observations,
            mean=row.mean,
            last_timestamp=row.last_timestamp,
            day=StreamDay.from_bytes(kept.day),
            episode_number=row.episode,
            episode=episode,
        )
