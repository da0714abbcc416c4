"""What baselines, folds and diagnoses ask of the log of observations, and the cuts they take from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.domain.cohort import ALL
from monitor.domain.observation import ObservationBatch, SubjectRef, SubjectWindow
from monitor.domain.stream import StreamKey
from monitor.drift.freeze import Window
from monitor.signals.estimand import Estimand


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stream's observations between two places, in the log's order."""

    places: NDArray[np.int64]
    cohorts: Sequence[str]
    values: NDArray[np.float64]


class ObservationLog(Protocol):
    """What was observed, by place in the log."""

    def window(self, start: int, stop: int, signals: Collection[str] | None = None) -> Iterable[ObservationBatch]:
        """Return the observations on the places start <= place < stop, in the log's order: all, or of *signals*."""
        ...

    def excerpt(self, stream: StreamKey, start: int, stop: int) -> Excerpt:
        """Return *stream*'s observations on the places start <= place < stop; cohort "*" means all."""
        ...

    def subjects(self, start: int, stop: int) -> SubjectWindow:
        """Return what was known before the answers of the subjects on the places start <= place < stop.

        A subject of a source that has no covariates stands among them as one that is not observed.
        Places that the log has forgotten are left out.
        """
        ...

    def locate(self, places: Sequence[int]) -> list[SubjectRef]:
        """Return the subjects at *places*, in the order asked for."""
        ...


@dataclass(frozen=True, slots=True)
class LabelSpan:
    """Where in the log the settled blocks of an estimand lie that began at or after a place, and their labels."""

    first_place: int
    stop_place: int
    verdicts: Mapping[str, int]  # by the version of the criteria, as the series has it
    compared: Mapping[str, int]  # those beside which there was an opinion, by the version that had it


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """Where in the log the first observations of one source's series lie, as many as a law is made of."""

    signal: str
    scorer_version: str
    first_place: int
    stop_place: int


class LabelLog(ObservationLog, Protocol):
    def label_span(self, estimand: Estimand, place: int) -> LabelSpan | None:
        """Return the span of the blocks whose traces stand at *place* or later; None where none has matured."""
        ...


class ProbeLog(ObservationLog, Protocol):
    def probe_spans(self, place: int, *, outcomes: int) -> Sequence[SourceSpan]:
        """Return by series the runs of probes from *place* on that hold its first *outcomes*, whole runs each.

        A series with fewer of them is left out.
        """
        ...


class FeedbackLog(ObservationLog, Protocol):
    def feedback_spans(self, place: int, *, traces: int) -> Sequence[SourceSpan]:
        """Return by series of users' feedback where its first *traces* from *place* on lie, whole entries each.

        A series with fewer of them is left out.
        """
        ...


def excerpt_of(batches: Iterable[ObservationBatch], stream: StreamKey) -> Excerpt:
    """Take *stream*'s observations out of *batches*, which are in the log's order."""
    parts = [batch for batch in batches if batch.belongs_to(stream)]
    if not parts:
        return Excerpt(np.empty(0, np.int64), [], np.empty(0))
    cohorts = np.concatenate([part.cohort_names() for part in parts])
    kept = np.full(len(cohorts), True) if stream.cohort == ALL else cohorts == stream.cohort
    places = np.concatenate([part.places for part in parts])[kept]
    return Excerpt(places, cohorts[kept].tolist(), np.concatenate([part.values for part in parts])[kept])


def windows_of(batches: Iterable[ObservationBatch], signals: Collection[str]) -> Iterator[Window]:
    """Yield each signal's observations, per scorer, in the order of places: blocks of them are blocks of time.

    Those of *signals* alone.
    """

    def law(batch: ObservationBatch) -> tuple[str, str]:
        return batch.series.signal, batch.series.scorer_version

    held = (batch for batch in batches if batch.series.signal in signals)
    for (signal, scorer_version), group in groupby(sorted(held, key=law), key=law):
        members = list(group)
        places = np.concatenate([part.places for part in members])
        order = np.argsort(places, kind="stable")
        models = np.repeat([part.series.policy_model for part in members], [len(part.values) for part in members])
        yield Window(
            signal=signal,
            scorer_version=scorer_version,
            cohorts=np.concatenate([part.cohort_names() for part in members])[order].tolist(),
            policy_models=models[order].tolist(),
            values=np.concatenate([part.values for part in members])[order],
            places=places[order],
        )
