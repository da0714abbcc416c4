"""Observations: the rows of the one log that every source writes and the fold reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from monitor.domain.cohort import OTHER
from monitor.domain.covariates import Covariates
from monitor.domain.stream import StreamKey

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Source(StrEnum):
    """What writes to the log; each source commits its entries with its own facts."""

    TRACES = "traces"  # the worker: a place a trace, repeats included
    CLOCK = "clock"  # the leader, while nothing else is written: no place, only the time
    ANCHOR = "anchor"  # fixed pairs, scored again: a place a pair, which is no trace
    LABELS = "labels"  # blocks of traces whose labels are all there: a place a trace that may have been labelled
    REFERENCE = "reference"  # the released policy, asked a share of all prompts again: a place a prompt
    FEEDBACK = "feedback"  # what users did after answers: a place a trace whose time for it is over
    PROBES = "probes"  # the live model, asked fixed questions on a schedule: a place a question, or a twin of them


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """What one batch of observations holds values of; a series in one cohort is a stream."""

    signal: str
    policy_model: str
    scorer_version: str  # values of two versions are never compared with each other


@dataclass(frozen=True, slots=True)
class ObservationBatch:
    """One series' observations within one entry of the log; arrays of the same length, in the log's order.

    `places` are the subjects' places in the log, ascending. Before the entry has its place they
    count from 0 within the entry.
    """

    series: Series
    cohorts: tuple[str, ...]
    cohort_codes: NDArray[np.int32]  # into `cohorts`
    places: NDArray[np.int64]
    values: NDArray[np.float64]
    # The probability with which each was selected; of an estimate the least that any could have had. None: all were.
    inclusion: NDArray[np.float64] | None = None

    def placed(self, first_place: int) -> ObservationBatch:
        """Return the batch of an entry whose first subject stands at *first_place*."""
        return replace(self, places=self.places + first_place)

    def between(self, start: int, stop: int | None = None) -> ObservationBatch:
        """Return the part on the places start <= place < stop; None: to the end."""
        first = int(np.searchsorted(self.places, start))
        last = len(self.places) if stop is None else int(np.searchsorted(self.places, stop))
        if first == 0 and last == len(self.places):
            return self
        part = slice(first, last)
        return replace(
            self,
            cohort_codes=self.cohort_codes[part],
            places=self.places[part],
            values=self.values[part],
            inclusion=None if self.inclusion is None else self.inclusion[part],
        )

    def cohort_names(self) -> NDArray[np.str_]:
        """Return each observation's cohort."""
        return np.asarray(self.cohorts, dtype=np.str_)[self.cohort_codes]

    def belongs_to(self, stream: StreamKey) -> bool:
        """Say whether *stream* reads from this batch, whatever the cohort."""
        return (
            self.series.signal == stream.signal
            and self.series.scorer_version == stream.scorer_version
            and stream.policy_model in {self.series.policy_model, OTHER}
        )


def joined(batches: Sequence[ObservationBatch]) -> ObservationBatch:
    """Return *batches* of one series, at least one, one after another as one."""
    names, codes = np.unique(np.concatenate([batch.cohort_names() for batch in batches]), return_inverse=True)
    inclusion = [batch.inclusion for batch in batches if batch.inclusion is not None]
    return ObservationBatch(
        series=batches[0].series,
        cohorts=tuple(names.tolist()),
        cohort_codes=codes.astype(np.int32),
        places=np.concatenate([batch.places for batch in batches]),
        values=np.concatenate([batch.values for batch in batches]),
        inclusion=np.concatenate(inclusion) if len(inclusion) == len(batches) else None,
    )


def batch_of(
    series: Series, rows: Sequence[tuple[int, str, float]], inclusion: Sequence[float] | None = None
) -> ObservationBatch:
    """Return the batch of *rows*: place within the entry, ascending; cohort; value."""
    places, cohorts, values = zip(*rows, strict=True)
    names = tuple(sorted(set(cohorts)))
    codes = {name: code for code, name in enumerate(names)}
    return ObservationBatch(
        series=series,
        cohorts=names,
        cohort_codes=np.array([codes[name] for name in cohorts], dtype=np.int32),
        places=np.array(places, dtype=np.int64),
        values=np.array(values, dtype=np.float64),
        inclusion=None if inclusion is None else np.array(inclusion, dtype=np.float64),
    )


@dataclass(frozen=True, slots=True)
class Subjects:
    """What an entry's observations are about, each once, in the order of their places.

    A subject is a trace where there is one; `ids` holds None for one that has no name.
    `covariates` are known before the answer; `covariates_version` says how to read them.
    """

    ids: tuple[str | None, ...]
    timestamps: NDArray[np.int64]  # microseconds since 1970, UTC
    covariates: bytes | None = None
    covariates_version: str | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def decoded(self) -> Covariates | None:
        """The covariates as columns; None where the source has none."""
        if self.covariates is None or self.covariates_version is None:
            return None
        return Covariates.decode(self.covariates, self.covariates_version)

    @property
    def last_timestamp(self) -> datetime | None:
        return moment_of(int(self.timestamps.max())) if len(self.timestamps) else None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What one source commits at once; its observations' places count from 0."""

    source: Source
    subjects: Subjects
    observations: tuple[ObservationBatch, ...] = ()

    def placed(self, *, sequence: int, first_place: int, at: datetime) -> PlacedEntry:
        return PlacedEntry(
            source=self.source,
            sequence=sequence,
            first_place=first_place,
            places=len(self.subjects),
            at=at,
            last_timestamp=self.subjects.last_timestamp,
            observations=tuple(batch.placed(first_place) for batch in self.observations),
            timestamps=self.subjects.timestamps,
            covariates=self.subjects.decoded,
        )


@dataclass(frozen=True, slots=True)
class PlacedEntry:
    """An entry as the fold reads it: in commit order, its observations at their places in the log.

    Where a fold goes on in the middle of an entry, the observations before that place are cut
    off; the subjects' columns are whole, so that row 0 is `first_place`.
    """

    source: Source
    sequence: int  # 1, 2, 3, ... over all entries
    first_place: int
    places: int  # subjects it holds; 0 for an entry that only tells the time
    at: datetime  # when it was written
    last_timestamp: datetime | None  # the latest of its subjects' own
    observations: tuple[ObservationBatch, ...]
    timestamps: NDArray[np.int64] | None = None  # the subjects' own, microseconds since 1970; None: not read
    covariates: Covariates | None = None  # None: written by a source, or a release, that has none

    def subjects(self, start: int, stop: int) -> SubjectWindow:
        """Return what is known of the subjects on the places start <= place < stop."""
        first, last = (min(max(place - self.first_place, 0), self.places) for place in (start, stop))
        known = self.covariates
        if known is None and self.source is not Source.TRACES:
            known = Covariates.unknown(self.places)
        return SubjectWindow(
            places=np.arange(first, last, dtype=np.int64) + self.first_place,
            timestamps=np.empty(0, np.int64) if self.timestamps is None else self.timestamps[first:last],
            covariates=None if known is None else known.between(first, last),
        )


@dataclass(frozen=True, slots=True)
class SubjectWindow:
    """The subjects on some places of the log; arrays of the same length, in the log's order."""

    places: NDArray[np.int64]
    timestamps: NDArray[np.int64]  # the subjects' own, microseconds since 1970
    covariates: Covariates | None  # None: some of its traces were logged by a release that kept none

    @classmethod
    def join(cls, parts: Sequence[SubjectWindow]) -> SubjectWindow:
        """Return *parts* one after another."""
        known = [part.covariates for part in parts if part.covariates is not None]
        return cls(
            places=np.concatenate([np.empty(0, np.int64), *(part.places for part in parts)]),
            timestamps=np.concatenate([np.empty(0, np.int64), *(part.timestamps for part in parts)]),
            covariates=Covariates.join(known) if len(known) == len(parts) else None,
        )


@dataclass(frozen=True, slots=True)
class SubjectRef:
    """A subject as an alarm names it."""

    place: int
    subject_id: str | None
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """A place of the log in both times."""

    place: int
    trace_time: datetime  # its subject's own
    logged_at: datetime  # the clock on the wall, when its entry was written


@dataclass(frozen=True, slots=True)
class LogEnd:
    """How far the log is placed."""

    next_sequence: int
    next_place: int


def micros_of(timestamps: Sequence[datetime]) -> NDArray[np.int64]:
    """Return aware *timestamps* in microseconds since 1970."""
    since = [at - EPOCH for at in timestamps]
    return np.array([(one.days * 86_400 + one.seconds) * 1_000_000 + one.microseconds for one in since], dtype=np.int64)


def moment_of(micros: int) -> datetime:
    return EPOCH + micros * MICROSECOND
