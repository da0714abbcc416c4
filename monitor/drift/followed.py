"""Which policy models are followed apart, and how the others share one stream."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from monitor.domain.cohort import OTHER
from monitor.domain.observation import ObservationBatch, Series

MAX_POLICY_MODELS = 50  # models followed apart under one baseline; the rest share one stream


def capped(
    batches: Sequence[ObservationBatch], known: Collection[str], first_watched: Callable[[ObservationBatch], int | None]
) -> list[ObservationBatch]:
    """Return *batches*, those of models past the cap joined into one a signal and scorer.

    The cap is filled in the order of the places where the models were first watched, and what is joined
    stands in the order of places: so nothing depends on where the log is cut into entries.
    """
    new: dict[str, int] = {}
    for batch in batches:
        model = batch.series.policy_model
        if model not in known and (place := first_watched(batch)) is not None:
            new[model] = min(place, new.get(model, place))
    room = max(MAX_POLICY_MODELS - len(known), 0)
    past = set(sorted(new, key=new.__getitem__)[room:])
    joined = [
        replace(batch, series=replace(batch.series, policy_model=OTHER))
        for batch in batches
        if batch.series.policy_model in past
    ]
    apart = [batch for batch in batches if batch.series.policy_model not in past]
    groups = groupby(sorted(joined, key=_series), key=_series)
    return apart + [join(series, list(parts)) for series, parts in groups]


def _series(batch: ObservationBatch) -> Series:
    return batch.series


def join(series: Series, parts: Sequence[ObservationBatch]) -> ObservationBatch:
    """Return the observations of *parts* as one batch of *series*, in the order of places."""
    names = tuple(sorted({name for part in parts for name in part.cohorts}))
    codes = [
        np.array([names.index(name) for name in part.cohorts], dtype=np.int32)[part.cohort_codes] for part in parts
    ]
    places = np.concatenate([part.places for part in parts])
    order = np.argsort(places, kind="stable")
    weights = [np.ones(len(part.values)) if part.inclusion is None else part.inclusion for part in parts]
    sampled = any(part.inclusion is not None for part in parts)
    return ObservationBatch(
        series=series,
        cohorts=names,
        cohort_codes=np.concatenate(codes)[order],
        places=places[order],
        values=np.concatenate([part.values for part in parts])[order],
        inclusion=np.concatenate(weights)[order] if sampled else None,
    )
