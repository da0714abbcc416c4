"""What baselines, folds and diagnoses ask of the log of observations, and the cuts they take from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.domain.cohort import ALL
from monitor.domain.observation import ObservationBatch, SubjectRef, SubjectWindow
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Window
from monitor.signals.table import SIGNALS


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stream's observations between two places, in the log's order."""

    places: NDArray[np.int64]
    cohorts: Sequence[str]
    values: NDArray[np.float64]


class ObservationLog(Protocol):
    """What was observed, by place in the log."""

    def window(self, start: int, stop: int) -> Iterable[ObservationBatch]:
        """Return all observations on the places start <= place < stop, in the log's order."""
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


def excerpt_of(batches: Iterable[ObservationBatch], stream: StreamKey) -> Excerpt:
    """Take *stream*'s observations out of *batches*, which are in the log's order."""
    parts = [batch for batch in batches if batch.belongs_to(stream)]
    if not parts:
        return Excerpt(np.empty(0, np.int64), [], np.empty(0))
    cohorts = np.concatenate([part.cohort_names() for part in parts])
    kept = np.full(len(cohorts), True) if stream.cohort == ALL else cohorts == stream.cohort
    places = np.concatenate([part.places for part in parts])[kept]
    return Excerpt(places, cohorts[kept].tolist(), np.concatenate([part.values for part in parts])[kept])


def windows_of(batches: Iterable[ObservationBatch]) -> Iterator[Window]:
    """Yield each signal's observations, per scorer; what no baseline holds, such as anchors' scores, is left out."""

    def law(batch: ObservationBatch) -> tuple[str, str]:
        return batch.series.signal, batch.series.scorer_version

    held = (batch for batch in batches if batch.series.signal in SIGNALS)
    for (signal, scorer_version), group in groupby(sorted(held, key=law), key=law):
        members = list(group)
        yield Window(
            signal=signal,
            scorer_version=scorer_version,
            cohorts=np.concatenate([part.cohort_names() for part in members]).tolist(),
            policy_models=[part.series.policy_model for part in members for _ in range(len(part.values))],
            values=np.concatenate([part.values for part in members]),
        )
