"""Gathering what was observed on a batch of traces into one entry of the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from math import log

import numpy as np
from msgspec import Struct

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


class ObservedTrace(Struct, frozen=True, gc=False):
    """A good trace with all that was found out about it."""

    trace: Trace
    cohort: str
    repeated: bool  # stored and counted, but not an observation
    reward: Reward | None = None
    selections: tuple[Selection, ...] = ()  # one a kind of label that could be given to it
    opinion: Opinion | None = None


def gather(observed: Sequence[ObservedTrace], embedded: Embedded | None = None) -> LogEntry:
    """Return the entry of *observed*: every trace is a subject, every one that is no repeat is observed.

    Each subject has its covariates, a repeat too; *embedded* has a row for each.
    The batches are sorted by signal, policy model and scorer.
    """
    rows: dict[tuple[str, str, str], list[tuple[int, str, float]]] = defaultdict(list)
    inclusion: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for place, item in enumerate(observed):
        if item.repeated:
            continue
        model = item.trace.policy_model
        for seen in observe(item.trace, item.reward, item.opinion):
            rows[seen.signal, model, seen.scorer_version].append((place, item.cohort, seen.value))
        for drawn in item.selections:
            series = selected_series(drawn.kind), model, repr(drawn.least)
            rows[series].append((place, item.cohort, float(drawn.selected)))
            inclusion[series].append(drawn.probability)
            if drawn.kind == PREFERENCE:
                gap = length_gap(item.trace)
                rows[gap.signal, model, gap.scorer_version].append((place, item.cohort, gap.value))
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
    batches = tuple(batch_of(Series(*series), found, inclusion.get(series)) for series, found in sorted(rows.items()))
    return LogEntry(Source.TRACES, subjects, batches)


def length_gap(trace: Trace) -> Observation:
    """Return how much longer the answer is than its reference: the log ratio of their words, each with one more."""
    words, others = (count_words(text or "") for text in (trace.response, trace.reference_response))
    return Observation(LENGTH_GAP.name, "words-1", log((1 + words) / (1 + others)))


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
