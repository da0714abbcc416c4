"""Gathering what was observed on a batch of traces into one entry of the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.domain.observation import LogEntry, ObservationBatch, Series, Source, Subjects, micros_of
from monitor.domain.score import Opinion, Reward
from monitor.domain.trace import Trace
from monitor.observe.covariates import covariates_of
from monitor.observe.embedding import Embedded
from monitor.signals.observe import observe


@dataclass(frozen=True, slots=True)
class ObservedTrace:
    """A good trace with all that was found out about it."""

    trace: Trace
    cohort: str
    repeated: bool  # stored and counted, but not an observation
    reward: Reward | None = None
    opinion: Opinion | None = None


def gather(observed: Sequence[ObservedTrace], embedded: Embedded | None = None) -> LogEntry:
    """Return the entry of *observed*: every trace is a subject, every one that is no repeat is observed.

    Each subject has its covariates, a repeat too; *embedded* has a row for each.
    The batches are sorted by signal, policy model and scorer.
    """
    rows: dict[tuple[str, str, str], list[tuple[int, str, float]]] = defaultdict(list)
    for place, item in enumerate(observed):
        if item.repeated:
            continue
        for seen in observe(item.trace, item.reward, item.opinion):
            rows[seen.signal, item.trace.policy_model, seen.scorer_version].append((place, item.cohort, seen.value))
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
    batches = tuple(batch_of(Series(*series), found) for series, found in sorted(rows.items()))
    return LogEntry(Source.TRACES, subjects, batches)


def batch_of(series: Series, rows: Sequence[tuple[int, str, float]]) -> ObservationBatch:
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
    )
