"""Gathering a batch's observations into the rows of the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.domain.score import Reward
from monitor.domain.trace import Trace
from monitor.signals.observe import observe


@dataclass(frozen=True, slots=True)
class ScoredTrace:
    """A good trace with all that was found out about it."""

    trace: Trace
    cohort: str
    repeated: bool
    reward: Reward | None = None


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """One signal's observations within one batch; arrays of the same length, in the batch's order."""

    signal: str
    policy_model: str
    scorer_version: str
    cohorts: tuple[str, ...]
    cohort_codes: NDArray[np.int32]  # into `cohorts`
    ordinals: NDArray[np.int32]  # of the traces within the batch, ascending
    values: NDArray[np.float64]


def stream_batches(scored: Iterable[ScoredTrace]) -> list[StreamBatch]:
    """Observe every trace that is not a repeat; sorted by signal, policy model and scorer."""
    rows: dict[tuple[str, str, str], list[tuple[int, str, float]]] = defaultdict(list)
    for ordinal, item in enumerate(scored):
        if item.repeated:
            continue
        for seen in observe(item.trace, item.reward):
            rows[seen.signal, item.trace.policy_model, seen.scorer_version].append((ordinal, item.cohort, seen.value))
    return [_batch(*key, found) for key, found in sorted(rows.items())]


def _batch(signal: str, policy_model: str, scorer_version: str, rows: list[tuple[int, str, float]]) -> StreamBatch:
    ordinals, cohorts, values = zip(*rows, strict=True)
    names = tuple(sorted(set(cohorts)))
    codes = {name: code for code, name in enumerate(names)}
    return StreamBatch(
        signal=signal,
        policy_model=policy_model,
        scorer_version=scorer_version,
        cohorts=names,
        cohort_codes=np.array([codes[name] for name in cohorts], dtype=np.int32),
        ordinals=np.array(ordinals, dtype=np.int32),
        values=np.array(values, dtype=np.float64),
    )
