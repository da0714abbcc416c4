"""From the log's observations to what each stream came to by five minutes and by hour, in the traces' own time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.domain.cohort import ALL, UNLABELLED
from monitor.domain.history import COARSE, FINE
from monitor.domain.observation import ObservationBatch, Series
from monitor.domain.stream import StreamKey
from monitor.stats.quantile_sketch import Codes, Counts, codes_of

MICROS = 1_000_000

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Seen:
    """One batch of an entry; its places count from 0 within the entry."""

    batch: ObservationBatch
    timestamps: Integers  # of the entry's subjects, microseconds since 1970


@dataclass(frozen=True, slots=True, order=True)
class BucketKey:
    stream: StreamKey
    width_seconds: int
    start: int  # seconds since 1970; a whole number of widths


@dataclass(frozen=True, slots=True)
class Bucket:
    """What one stretch of a stream's time came to; the values' sketch is `stats.quantile_sketch`'s."""

    count: int
    total: float
    low: float
    high: float
    codes: Codes  # each once, rising
    counts: Counts

    def merged(self, other: Bucket) -> Bucket:
        """Return the bucket of both."""
        codes, at = np.unique(np.concatenate((self.codes, other.codes)), return_inverse=True)
        counts = np.zeros(len(codes), np.int64)
        np.add.at(counts, at, np.concatenate((self.counts, other.counts)))
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Bucket(self.count + other.count, self.total + other.total, low, high, codes, counts)


@dataclass(frozen=True, slots=True)
class _Binned:
    """Sums by cohort, time and bin; arrays of one length."""

    cohort: Integers
    start: Integers
    code: Integers
    count: Integers
    total: Floats
    low: Floats
    high: Floats

    def summed(self) -> _Binned:
        """Return one row for each cohort, time and bin, in that order."""
        order = np.lexsort((self.code, self.start, self.cohort))
        keys = [column[order] for column in (self.cohort, self.start, self.code)]
        first = np.flatnonzero(np.concatenate(([True], np.any([np.diff(key) != 0 for key in keys], axis=0))))
        cohort, start, code = (key[first] for key in keys)
        return _Binned(
            cohort,
            start,
            code,
            np.add.reduceat(self.count[order], first),
            np.add.reduceat(self.total[order], first),
            np.minimum.reduceat(self.low[order], first),
            np.maximum.reduceat(self.high[order], first),
        )

    def coarser(self, width_seconds: int) -> _Binned:
        start = self.start // width_seconds * width_seconds
        return _Binned(self.cohort, start, self.code, self.count, self.total, self.low, self.high).summed()

    def of_all(self) -> _Binned:
        """Return the roll-up over cohorts, as cohort 0."""
        nobody = np.zeros_like(self.cohort)
        return _Binned(nobody, self.start, self.code, self.count, self.total, self.low, self.high).summed()


def roll_up(seen: Iterable[Seen], *, since: int | None = None) -> dict[BucketKey, Bucket]:
    """Return what *seen* adds to its streams' buckets; times before *since* (seconds since 1970) are left out.

    The cohort without labels has no stream of its own, as in the fold; it counts in the roll-up.
    """
    by_series: dict[Series, list[Seen]] = defaultdict(list)
    for one in seen:
        by_series[one.batch.series].append(one)
    found: dict[BucketKey, Bucket] = {}
    for series, parts in by_series.items():
        names = sorted({name for part in parts for name in part.batch.cohorts})
        binned = _binned(parts, names, since)
        if binned is None:
            continue
        apart = [name if name != UNLABELLED else None for name in names]
        for rows, cohorts in ((binned, apart), (binned.of_all(), [ALL])):
            found.update(_buckets(series, rows, cohorts, FINE))
            found.update(_buckets(series, rows.coarser(COARSE), cohorts, COARSE))
    return found


def _binned(parts: list[Seen], names: list[str], since: int | None) -> _Binned | None:
    code_of = {name: code for code, name in enumerate(names)}
    cohorts = [np.array([code_of[n] for n in p.batch.cohorts], np.int64)[p.batch.cohort_codes] for p in parts]
    cohort = np.concatenate(cohorts)
    seconds = np.concatenate([part.timestamps[part.batch.places] for part in parts]) // MICROS
    values = np.concatenate([part.batch.values for part in parts])
    wanted = np.isfinite(values) & (seconds >= (np.iinfo(np.int64).min if since is None else since))
    if not wanted.any():
        return None
    values, start = values[wanted], seconds[wanted] // FINE * FINE
    ones = np.ones(len(values), np.int64)
    return _Binned(cohort[wanted], start, codes_of(values).astype(np.int64), ones, values, values, values).summed()


def _buckets(
    series: Series, rows: _Binned, cohorts: list[str] | list[str | None], width: int
) -> Iterator[tuple[BucketKey, Bucket]]:
    """Yield each bucket of *rows*, whose rows are in order; a cohort of None has none."""
    begins = np.concatenate(([True], (np.diff(rows.cohort) != 0) | (np.diff(rows.start) != 0)))
    first = np.flatnonzero(begins)
    ends = np.append(first[1:], len(rows.cohort)).tolist()
    counts, totals = np.add.reduceat(rows.count, first).tolist(), np.add.reduceat(rows.total, first).tolist()
    lows, highs = np.minimum.reduceat(rows.low, first).tolist(), np.maximum.reduceat(rows.high, first).tolist()
    codes = rows.code.astype(np.int16)
    names, starts = rows.cohort[first].tolist(), rows.start[first].tolist()
    for at, (begin, end) in enumerate(zip(first.tolist(), ends, strict=True)):
        cohort = cohorts[names[at]]
        if cohort is None:
            continue
        stream = StreamKey(series.signal, cohort, series.policy_model, series.scorer_version)
        bucket = Bucket(counts[at], totals[at], lows[at], highs[at], codes[begin:end], rows.count[begin:end])
        yield BucketKey(stream, width, starts[at]), bucket
