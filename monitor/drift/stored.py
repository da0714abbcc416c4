"""Baselines and streams as a store keeps them between two leaders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from monitor.domain.alarm import Severity
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline
from monitor.drift.fold import Episode, Fold, Stream


@dataclass(frozen=True, slots=True)
class ActiveBaseline:
    baseline_id: int
    revision: int  # raised whenever laws are added to it
    baseline: Baseline


@dataclass(frozen=True, slots=True)
class WindowTrace:
    cohort: str
    policy_model: str


@dataclass(frozen=True, slots=True)
class BaselineWindow:
    """The active baseline at one revision, with the traces it was frozen from, by their index."""

    baseline_id: int
    revision: int
    baseline: Baseline
    traces: Mapping[int, WindowTrace]


@dataclass(frozen=True, slots=True)
class FoldPosition:
    """The first entry that is not folded, and its first place that is not."""

    next_sequence: int
    next_place: int


@dataclass(frozen=True, slots=True)
class StoredStream:
    """A `drift.fold.Stream` with its evidence in bytes, and its evidence as operators see it."""

    evidence: bytes
    evidence_log: float  # log e / log A
    observations: int
    mean: float
    last_timestamp: datetime
    episode: int
    severity: Severity | None  # of the open episode; None where none is open
    since: int | None  # of the open episode; None where the release that stored it knew none
    renewed: bytes | None


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
        if kept.severity is not None and kept.since is None:
            episode = Episode(kept.severity, kept.observations, detector.empty())
        elif kept.severity is not None and kept.since is not None:
            renewed = None if kept.renewed is None else detector.load(kept.renewed)
            episode = Episode(kept.severity, kept.since, renewed)
        streams[key] = Stream(
            evidence=detector.load(kept.evidence),
            observations=kept.observations,
            mean=kept.mean,
            last_timestamp=kept.last_timestamp,
            episode_number=kept.episode,
            episode=episode,
        )
    return streams
