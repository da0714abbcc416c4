"""Gathering what was observed on a batch of traces into one entry of the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from monitor.domain.label import PREFERENCE
from monitor.domain.observation import LogEntry, ObservationBatch, Series, Source, Subjects, micros_of
from monitor.domain.review import Selection
from monitor.domain.score import Opinion, Reward
from monitor.domain.signal import Observation
from monitor.domain.trace import Trace
from monitor.observe.covariates import covariates_of
from monitor.observe.embedding import Embedded
from monitor.observe.sketch import count_words
from monitor.signals.estimand import LENGTH_GAP, selected_series
from monitor.signals.observe import observe
from monitor.signals.set import DEFAULT, SignalSet


class ObservedTrace(Struct, frozen=True, gc=False):
    """A good trace with all that was found out about it."""

    trace: Trace
    cohort: str
    repeated: bool  # stored and counted, but not an observation
    reward: Reward | None = None
    selections: tuple[Selection, ...] = ()  # one a kind of label that could be given to it
    opinion: Opinion | None = None


def gather(
    observed: Sequence[ObservedTrace], embedded: Embedded | None = None, signals: SignalSet = DEFAULT
) -> LogEntry:
    """Return the entry of *observed*: every trace is a subject, every one that is no repeat is observed.

    Each subject has its covariates, a repeat too; *embedded* has a row for each.
    The batches are sorted by signal, policy model and scorer.
    """
    known = covariates_of(
        [item.trace for item in observed],
        cohorts=[item.cohort for item in observed],
        repeated=[item.repeated for item in observed],
    )
    if embedded is not None:
        known = replace(known, embedding=embedded.vectors, embedder=embedded.version)
    subjects = Subjects(
        ids=tuple(item.trace.trace_id for item in observed),
        timestamps=micros_of([item.trace.timestamp for item in observed]),
        covariates=known.encode() if observed else None,
        covariates_version=known.version if observed else None,
    )
    fresh = Fresh.of(observed)
    batches = sorted((*read(fresh, signals), *selected(fresh)), key=lambda batch: batch.series)
    return LogEntry(Source.TRACES, subjects, tuple(batches))


@dataclass(frozen=True, slots=True)
class Fresh:
    """Those of an entry's traces that are no repeats, in columns."""

    items: list[ObservedTrace]
    places: NDArray[np.int64]
    cohorts: list[str]  # the names there are, sorted
    codes: NDArray[np.int32]  # of each trace's cohort among them

    @classmethod
    def of(cls, observed: Sequence[ObservedTrace]) -> Fresh:
        places = [place for place, item in enumerate(observed) if not item.repeated]
        items = [observed[place] for place in places]
        names = sorted({item.cohort for item in items})
        code = {name: number for number, name in enumerate(names)}
        codes = np.array([code[item.cohort] for item in items], dtype=np.int32)
        return cls(items, np.array(places, dtype=np.int64), names, codes)

    def batch(
        self, series: Series, rows: Sequence[int], values: Sequence[float], inclusion: Sequence[float] | None = None
    ) -> ObservationBatch:
        """Return the batch of *values* on *rows* of these traces, ascending."""
        chosen = np.array(rows, dtype=np.intp)
        present, codes = np.unique(self.codes[chosen], return_inverse=True)
        return ObservationBatch(
            series=series,
            cohorts=tuple(self.cohorts[code] for code in present),
            cohort_codes=codes.astype(np.int32),
            places=self.places[chosen],
            values=np.array(values, dtype=np.float64),
            inclusion=None if inclusion is None else np.array(inclusion, dtype=np.float64),
        )


def read(fresh: Fresh, signals: SignalSet) -> Iterator[ObservationBatch]:
    """Yield what is read of the traces themselves, a batch a series."""
    items = fresh.items
    models = [item.trace.policy_model for item in items]
    columns = observe(
        [item.trace for item in items], [item.reward for item in items], [item.opinion for item in items], signals
    )
    for column in columns:
        rows = [row for row, seen in enumerate(column) if seen is not None]
        told = [seen for seen in column if seen is not None]
        found: dict[tuple[str, str, str], tuple[list[int], list[float]]] = {}
        if len({(seen.signal, seen.scorer_version) for seen in told}) == 1 and len(set(models)) == 1:
            found[told[0].signal, models[0], told[0].scorer_version] = rows, [seen.value for seen in told]
        else:
            for row, seen in zip(rows, told, strict=True):
                own = found.setdefault((seen.signal, models[row], seen.scorer_version), ([], []))
                own[0].append(row)
                own[1].append(seen.value)
        for series, (places, values) in found.items():
            yield fresh.batch(Series(*series), places, values)


def selected(fresh: Fresh) -> Iterator[ObservationBatch]:
    """Yield which traces were drawn for labels, and how far their lengths lie from their references'."""
    drawn: dict[Series, list[tuple[int, float, float]]] = defaultdict(list)
    gaps: dict[Series, list[tuple[int, float]]] = defaultdict(list)
    for row, item in enumerate(fresh.items):
        model = item.trace.policy_model
        for one in item.selections:
            series = Series(selected_series(one.kind), model, repr(one.least))
            drawn[series].append((row, float(one.selected), one.probability))
            if one.kind == PREFERENCE:
                gap = length_gap(item.trace)
                gaps[Series(gap.signal, model, gap.scorer_version)].append((row, gap.value))
    for series, draws in drawn.items():
        rows, values, inclusion = zip(*draws, strict=True)
        yield fresh.batch(series, rows, values, inclusion)
    for series, told in gaps.items():
        rows, values = zip(*told, strict=True)
        yield fresh.batch(series, rows, values)


def length_gap(trace: Trace) -> Observation:
    """Return how much longer the answer is than its reference: the log ratio of their words, each with one more."""
    words, others = (count_words(text or "") for text in (trace.response, trace.reference_response))
    return Observation(LENGTH_GAP.name, "words-1", log((1 + words) / (1 + others)))
