"""The traces of a run of the log that may be labelled, with what the log says of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from monitor.domain.observation import ObservationBatch
from monitor.signals.estimand import LENGTH_GAP, Estimand

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Sampling(StrEnum):
    REVIEW = "review"  # the queue has drawn what is labelled
    STATED = "stated"  # labels state the probability with which their trace was drawn


@dataclass(frozen=True, slots=True)
class Items:
    """The traces of a run of the log that may be labelled; parallel columns in the log's order."""

    places: Integers
    ids: tuple[str, ...]
    timestamps: Integers  # microseconds since 1970
    policy_models: NDArray[np.str_]
    cohorts: NDArray[np.str_]
    scorer_versions: NDArray[np.str_]  # of the cheap opinion; "" where there is none
    cheap: Floats  # NaN where there is none
    gap: Floats  # NaN where there is none
    selected: NDArray[np.bool_]
    probability: Floats  # with which each was drawn by the queue; 0 where there is none
    least: Floats  # that any trace had then

    def __len__(self) -> int:
        return len(self.places)

    def between(self, start: int, stop: int) -> Items:
        """Return those on the places start <= place < stop."""
        return self.take(slice(*np.searchsorted(self.places, (start, stop))))

    def take(self, rows: slice) -> Items:
        return Items(
            places=self.places[rows],
            ids=self.ids[rows],
            timestamps=self.timestamps[rows],
            policy_models=self.policy_models[rows],
            cohorts=self.cohorts[rows],
            scorer_versions=self.scorer_versions[rows],
            cheap=self.cheap[rows],
            gap=self.gap[rows],
            selected=self.selected[rows],
            probability=self.probability[rows],
            least=self.least[rows],
        )


def eligible_of(batches: Iterable[ObservationBatch], estimand: Estimand, sampling: Sampling) -> Integers:
    """Return the places of the traces that may be labelled, ascending; each by what the log says of it alone."""
    if sampling is Sampling.REVIEW:
        places = [batch.places[drawn_of(batch) > 0.0] for batch in batches if batch.series.signal == estimand.selected]
    else:
        carriers = {estimand.selected, estimand.cheap}
        places = [batch.places for batch in batches if batch.series.signal in carriers]
    return np.unique(np.concatenate([np.empty(0, np.int64), *places]))


def drawn_of(batch: ObservationBatch) -> Floats:
    return np.zeros(len(batch.values)) if batch.inclusion is None else batch.inclusion


def items_of(
    batches: Sequence[ObservationBatch],
    places: Integers,
    *,
    ids: Sequence[str],
    timestamps: Integers,
    estimand: Estimand,
) -> Items:
    """Return the items on *places* (n,), ascending, with what *batches* say of each."""
    size = len(places)
    cheap, gap, least, drawn = (np.full(size, np.nan) for _ in range(4))
    selected = np.zeros(size)
    models, cohorts, versions = np.full(size, "", object), np.full(size, "", object), np.full(size, "", object)
    for batch in batches:
        at = np.searchsorted(places, batch.places)
        rows = np.flatnonzero((at < size) & (places[np.minimum(at, size - 1)] == batch.places)) if size else at[:0]
        into, signal = at[rows], batch.series.signal
        if not len(rows):
            continue
        if signal in {estimand.selected, estimand.cheap}:
            models[into], cohorts[into] = batch.series.policy_model, batch.cohort_names()[rows]
        if signal == estimand.selected:
            selected[into], drawn[into] = batch.values[rows], drawn_of(batch)[rows]
            least[into] = float(batch.series.scorer_version)
        elif signal == estimand.cheap:
            cheap[into], versions[into] = batch.values[rows], batch.series.scorer_version
        elif signal == LENGTH_GAP.name:
            gap[into] = batch.values[rows]
    return Items(
        places=places,
        ids=tuple(ids),
        timestamps=timestamps,
        policy_models=models.astype(np.str_),
        cohorts=cohorts.astype(np.str_),
        scorer_versions=versions.astype(np.str_),
        cheap=cheap,
        gap=gap,
        selected=selected > 0.5,
        probability=np.nan_to_num(drawn),
        least=np.nan_to_num(least),
    )
