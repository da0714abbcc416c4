"""The log of observations: its rows, and the cuts that baselines and diagnoses take from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.domain.cohort import ALL, OTHER
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Window


@dataclass(frozen=True, slots=True)
class ObservationBatch:
    """One signal's observations on consecutive traces; arrays of the same length, in fold order."""

    signal: str
    policy_model: str
    scorer_version: str
    cohorts: tuple[str, ...]
    cohort_codes: NDArray[np.int32]  # into `cohorts`
    indices: NDArray[np.int64]  # of the traces, in fold order over all good traces, ascending
    values: NDArray[np.float64]
    timestamp: datetime  # the latest among its traces

    def between(self, start: int, stop: int | None = None) -> ObservationBatch:
        """Return the part on the traces start <= index < stop; None: to the end."""
        first = int(np.searchsorted(self.indices, start))
        last = len(self.indices) if stop is None else int(np.searchsorted(self.indices, stop))
        if first == 0 and last == len(self.indices):
            return self
        part = slice(first, last)
        return replace(self, cohort_codes=self.cohort_codes[part], indices=self.indices[part], values=self.values[part])

    def cohort_names(self) -> NDArray[np.str_]:
        """Return each observation's cohort."""
        return np.asarray(self.cohorts, dtype=np.str_)[self.cohort_codes]

    def belongs_to(self, stream: StreamKey) -> bool:
        """Say whether *stream* reads from this batch, whatever the cohort."""
        return (
            self.signal == stream.signal
            and self.scorer_version == stream.scorer_version
            and stream.policy_model in {self.policy_model, OTHER}
        )


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stream's observations between two trace indices, in fold order."""

    indices: NDArray[np.int64]
    cohorts: Sequence[str]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TraceRef:
    trace_index: int
    trace_id: str
    timestamp: datetime


class ObservationLog(Protocol):
    """What was observed, by trace index in fold order."""

    def excerpt(self, stream: StreamKey, start: int, stop: int) -> Excerpt:
        """Return *stream*'s observations on the traces start <= index < stop; cohort "*" means all."""
        ...

    def locate(self, indices: Sequence[int]) -> list[TraceRef]:
        """Return the traces at *indices*, in the order asked for."""
        ...


def excerpt_of(batches: Iterable[ObservationBatch], stream: StreamKey, start: int, stop: int) -> Excerpt:
    """Cut *stream*'s observations out of *batches*, which are in fold order."""
    parts = [batch.between(start, stop) for batch in batches if batch.belongs_to(stream)]
    if not parts:
        return Excerpt(np.empty(0, np.int64), [], np.empty(0))
    cohorts = np.concatenate([part.cohort_names() for part in parts])
    kept = np.full(len(cohorts), True) if stream.cohort == ALL else cohorts == stream.cohort
    indices = np.concatenate([part.indices for part in parts])[kept]
    return Excerpt(indices, cohorts[kept].tolist(), np.concatenate([part.values for part in parts])[kept])


def windows_of(batches: Iterable[ObservationBatch], start: int, stop: int) -> Iterator[Window]:
    """Yield each signal's observations on the traces start <= index < stop, per scorer."""
    parts = sorted(
        (batch.between(start, stop) for batch in batches), key=lambda part: (part.signal, part.scorer_version)
    )
    for (signal, scorer_version), group in groupby(parts, key=lambda part: (part.signal, part.scorer_version)):
        members = list(group)
        yield Window(
            signal=signal,
            scorer_version=scorer_version,
            cohorts=np.concatenate([part.cohort_names() for part in members]).tolist(),
            policy_models=[part.policy_model for part in members for _ in range(len(part.values))],
            values=np.concatenate([part.values for part in members]),
        )
