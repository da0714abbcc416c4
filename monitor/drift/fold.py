"""Folding the log of observations into detectors, and what they decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Direction, Recovery, Severity
from monitor.domain.cohort import ALL, UNLABELLED
from monitor.domain.observation import ObservationBatch, PlacedEntry
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline, SignalBaseline, Stratum
from monitor.drift.detector import DETECTORS, Detector, Evidence
from monitor.drift.followed import capped
from monitor.drift.stored import StoredStream
from monitor.stats.edetector import Crossing, Threshold

WARNING_SHARE = 0.1  # a warning is raised at this share of A


@dataclass(frozen=True, slots=True)
class FoldRules:
    """When a stream alarms, and when it has come back."""

    average_run_length: float  # A
    # An alert has recovered when so many observations in a row, taken by themselves, do not bring it about again.
    recovery_observations: int = 2000

    def thresholds(self, reached: Severity | None) -> tuple[Threshold, ...]:
        """Return what the evidence of a stream that *reached* a severity may still reach."""
        severities = list(Severity)
        waiting = severities if reached is None else severities[severities.index(reached) + 1 :]
        return tuple(self.threshold(severity) for severity in waiting)

    def threshold(self, severity: Severity) -> Threshold:
        share = 1.0 if severity is Severity.ALERT else WARNING_SHARE
        return Threshold(severity.value, self.average_run_length * share)


@dataclass(frozen=True, slots=True)
class Episode:
    """A stream's alarm that is still open, looked at again every `patience` observations.

    `renewed` is an alert's evidence, gathered from nothing since the last look, at `since`
    observations of the stream; None once it has reached the threshold, which confirms the alert.
    """

    severity: Severity
    since: int
    patience: int
    renewed: Evidence | None


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream between two entries of the log."""

    evidence: Evidence
    observations: int  # since the baseline was frozen
    mean: float  # of the observations so far, in the signal's unit
    last_timestamp: datetime
    episode_number: int = 0  # of the episode that is open, or else of the next one
    episode: Episode | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A stream's evidence reached a threshold."""

    stream: StreamKey
    episode: int
    severity: Severity
    direction: Direction
    channel: int  # of the signal's law: the one whose best bet won most
    place: int
    onset_place: int
    observations: int
    evidence_log: float  # log e / log A


@dataclass(frozen=True, slots=True)
class _Rows:
    """A stream's part of one batch; arrays of the same length."""

    channels: NDArray[np.float64]  # (n, C)
    strata: NDArray[np.int64]
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)

    def first(self, count: int) -> _Rows:
        return _Rows(self.channels[:count], self.strata[:count], self.places[:count])

    def after(self, count: int) -> _Rows:
        return _Rows(self.channels[count:], self.strata[count:], self.places[count:])


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
        self._detectors: dict[StreamKey, tuple[dict[str, int], Detector]] = {}

    def add(self, entry: PlacedEntry) -> list[Decision | Recovery]:
        """Fold *entry*: its time, and its observations past the baseline's window."""
        self.at = entry.at if self.at is None else max(self.at, entry.at)
        outcomes: list[Decision | Recovery] = []
        known = {key.policy_model for key in self.streams}
        watched = [batch.between(self.baseline.stop_place) for batch in entry.observations]
        for batch in capped(watched, known, self._first_watched):
            assert entry.last_timestamp is not None  # an entry with observations has subjects
            outcomes += self._observe(batch, entry.last_timestamp)
        return outcomes

    def evidence_log(self, key: StreamKey) -> float:
        """Return log e / log A: 1 is the alarm, 0 and below is nothing."""
        return self.streams[key].evidence.log_e / float(np.log(self.rules.average_run_length))

    def detector(self, key: StreamKey) -> Detector | None:
        """Return what *key* bets by; None where the baseline holds no law for it."""
        law = self.baseline.get(key.signal, key.scorer_version)
        strata = {} if law is None else law.for_policy(key.policy_model)
        if law is None or (key.cohort != ALL and key.cohort not in strata):
            return None
        return self._detector_of(key, law, strata)[1]

    def _first_watched(self, batch: ObservationBatch) -> int | None:
        """Return the first place of *batch* that a stream reads; None where none does."""
        law = self.baseline.get(batch.series.signal, batch.series.scorer_version)
        strata = {} if law is None else law.for_policy(batch.series.policy_model)
        codes = [code for code, name in enumerate(batch.cohorts) if name in strata]
        places = batch.places[np.isin(batch.cohort_codes, codes)]
        return int(places[0]) if len(places) else None

    def _observe(self, batch: ObservationBatch, timestamp: datetime) -> list[Decision | Recovery]:
        """Fold *batch* into its cohorts' streams and the roll-up."""
        series = batch.series
        law = self.baseline.get(series.signal, series.scorer_version)
        if law is None or not len(batch.values):
            return []
        strata = law.for_policy(series.policy_model)
        channels = law.channels(batch.values)
        outcomes: list[Decision | Recovery] = []
        for cohort in (ALL, *batch.cohorts):
            if cohort == UNLABELLED or (cohort != ALL and cohort not in strata):
                continue
            key = StreamKey(series.signal, cohort, series.policy_model, series.scorer_version)
            numbers, detector = self._detector_of(key, law, strata)
            row_of = np.array([numbers.get(name, -1) for name in batch.cohorts], dtype=np.int64)[batch.cohort_codes]
            chosen = row_of >= 0
            if not chosen.any():
                continue
            before = self.streams.get(key) or Stream(detector.empty(), 0, 0.0, timestamp)
            rows = _Rows(channels[chosen], row_of[chosen], batch.places[chosen])
            after, found = self._advance(key, before, detector, rows)
            values = batch.values[chosen]
            mean = before.mean + float((values - before.mean).sum()) / after.observations
            self.streams[key] = replace(after, mean=mean, last_timestamp=max(before.last_timestamp, timestamp))
            outcomes += found
        return outcomes

    def _advance(
        self, key: StreamKey, stream: Stream, detector: Detector, rows: _Rows
    ) -> tuple[Stream, list[Decision | Recovery]]:
        """Fold *rows*, stopping at each that changes the episode: the next ones count under the new state."""
        outcomes: list[Decision | Recovery] = []
        while len(rows):
            stream, taken, found = self._stretch(key, stream, detector, rows)
            outcomes += found
            rows = rows.after(taken)
        return stream, outcomes

    def _stretch(
        self, key: StreamKey, stream: Stream, detector: Detector, rows: _Rows
    ) -> tuple[Stream, int, list[Decision | Recovery]]:
        """Fold *rows* as far as the episode stays what it is; return how many that were and what came of it."""
        episode = stream.episode
        if episode is not None:
            rows = rows.first(max(episode.since + episode.patience - stream.observations, 1))
        waiting = self.rules.thresholds(None if episode is None else episode.severity)
        evidence, crossings = _fold(detector, stream.evidence, rows, waiting)
        if crossings and min(crossing.row for crossing in crossings) + 1 < len(rows):
            rows = rows.first(min(crossing.row for crossing in crossings) + 1)
            evidence, crossings = _fold(detector, stream.evidence, rows, waiting)
        observations = stream.observations + len(rows)
        after = replace(stream, evidence=evidence, observations=observations)
        if crossings:
            after = replace(after, episode=self._episode(after, detector, crossings[-1], rows))
            return after, len(rows), [self._decision(key, after, crossing, rows) for crossing in crossings]
        if episode is None:
            return after, len(rows), []
        if episode.renewed is not None:
            renewed, reached = _fold(detector, episode.renewed, rows, (self.rules.threshold(episode.severity),))
            episode = replace(episode, renewed=None if reached else renewed)
        if observations - episode.since < episode.patience:
            return replace(after, episode=episode), len(rows), []
        if episode.severity is Severity.ALERT:
            confirmed, calm = episode.renewed is None, detector.empty()
            again = replace(episode, since=observations, renewed=detector.empty())
        else:  # a slow drift may be on its way to an alert: what it has gathered is kept
            confirmed, calm = evidence.log_e >= np.log(self.rules.threshold(episode.severity).e), evidence
            again = replace(episode, since=observations)
        if confirmed:
            return replace(after, episode=again), len(rows), []
        recovery = Recovery(key, stream.episode_number, int(rows.places[-1]))
        number = stream.episode_number + 1
        return replace(after, evidence=calm, episode=None, episode_number=number), len(rows), [recovery]

    def _episode(self, stream: Stream, detector: Detector, crossing: Crossing, rows: _Rows) -> Episode:
        """Begin an episode; a drift that took long to show is given four times as long to show again."""
        severity, patience = Severity(crossing.threshold.name), self.rules.recovery_observations
        if severity is Severity.WARNING:
            return Episode(severity, stream.observations, patience, None)
        place = int(rows.places[crossing.row])
        share = stream.observations / (place + 1 - self.baseline.stop_place)  # of the places that the stream reads
        took = (place + 1 - max(crossing.onset, self.baseline.stop_place)) * share
        return Episode(severity, stream.observations, max(patience, round(4.0 * took)), detector.empty())

    def _decision(self, key: StreamKey, stream: Stream, crossing: Crossing, rows: _Rows) -> Decision:
        return Decision(
            stream=key,
            episode=stream.episode_number,
            severity=Severity(crossing.threshold.name),
            direction=Direction.UP if crossing.up else Direction.DOWN,
            channel=crossing.channel,
            place=int(rows.places[crossing.row]),
            onset_place=crossing.onset,
            observations=stream.observations,
            evidence_log=crossing.log_e / float(np.log(self.rules.average_run_length)),
        )

    def _detector_of(
        self, key: StreamKey, law: SignalBaseline, strata: dict[str, Stratum]
    ) -> tuple[dict[str, int], Detector]:
        """Return the row of each cohort that *key* reads from, and what bets on them."""
        if key not in self._detectors:
            chosen = list(strata.values()) if key.cohort == ALL else [strata[key.cohort]]
            rollup = key.cohort == ALL
            mean = np.array([row.channel_mean for row in chosen])
            half = np.array([row.rollup_half_width if rollup else row.half_width for row in chosen])
            sd = np.array([row.channel_sd for row in chosen])
            rows = {row.cohort: number for number, row in enumerate(chosen)}
            self._detectors[key] = rows, DETECTORS[law.detector](mean - half, mean + half, sd)
        return self._detectors[key]


def _fold(
    detector: Detector, evidence: Evidence, rows: _Rows, thresholds: tuple[Threshold, ...]
) -> tuple[Evidence, list[Crossing]]:
    folded: tuple[Evidence, list[Crossing]] = detector.fold(
        evidence, rows.channels, rows.strata, places=rows.places, thresholds=thresholds
    )
    return folded


def in_fold_order(decisions: Iterable[Decision]) -> list[Decision]:
    """Order by place, roll-up first, so that the same log always tells the same story.

    One observation may reach both severities: the warning comes first, for the alert takes its place.
    """
    rank = list(Severity).index
    return sorted(decisions, key=lambda d: (d.place, d.stream.cohort != ALL, d.stream, rank(d.severity)))


def store(fold: Fold, keys: Iterable[StreamKey]) -> dict[StreamKey, StoredStream]:
    """Return the streams *keys* of *fold* as they are kept."""
    stored = {}
    for key in keys:
        stream = fold.streams[key]
        episode = stream.episode
        stored[key] = StoredStream(
            evidence=stream.evidence.to_bytes(),
            evidence_log=fold.evidence_log(key),
            observations=stream.observations,
            mean=stream.mean,
            last_timestamp=stream.last_timestamp,
            episode=stream.episode_number,
            severity=None if episode is None else episode.severity,
            since=None if episode is None else episode.since,
            patience=None if episode is None else episode.patience,
            renewed=None if episode is None or episode.renewed is None else episode.renewed.to_bytes(),
        )
    return stored


def restore(fold: Fold, stored: Mapping[StreamKey, StoredStream]) -> dict[StreamKey, Stream]:
    """Return *stored* as *fold* goes on with it; what its baseline holds no law for is left out."""
    streams = {}
    for key, kept in stored.items():
        detector = fold.detector(key)
        if detector is None:
            continue
        episode = None
        if kept.severity is not None and kept.since is not None and kept.patience is not None:
            renewed = None if kept.renewed is None else detector.load(kept.renewed)
            episode = Episode(kept.severity, kept.since, kept.patience, renewed)
        elif kept.severity is not None:
            renewed = detector.empty() if kept.severity is Severity.ALERT else None
            episode = Episode(kept.severity, kept.observations, fold.rules.recovery_observations, renewed)
        streams[key] = Stream(
            evidence=detector.load(kept.evidence),
            observations=kept.observations,
            mean=kept.mean,
            last_timestamp=kept.last_timestamp,
            episode_number=kept.episode,
            episode=episode,
        )
    return streams
