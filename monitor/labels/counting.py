"""A block whose labels are all there, as observations: one value a trace, whose mean is the rate that labels tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.domain.observation import ObservationBatch, Series, moment_of
from monitor.labels.estimate import DaySums
from monitor.labels.item import Items
from monitor.labels.tuning import Labelled, Tuning
from monitor.signals.estimand import WIN_RATE, WIN_RATE_LC, Estimand
from monitor.stats.length_control import CENTRE, shortened

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Column:
    """A signal's values on some of a block's items."""

    signal: str
    versions: NDArray[np.str_]  # of every item
    rows: Rows  # (n,), of the items, ascending
    values: Floats  # (n,)
    inclusion: Floats | None = None  # (n,)


def count_block(
    items: Items, seen: Labelled, *, estimand: Estimand, criteria_version: str, tuning: Tuning
) -> tuple[ObservationBatch, ...]:
    """Return what the log gets of a block, places counting from 0.

    *seen* holds the verdicts of the selected items, in their order. Of each item g = m + (xi / pi)(y - m): m is
    predicted from earlier blocks (*tuning*), xi says whether it was selected, with probability pi.
    """
    known, every = np.flatnonzero(items.selected), np.arange(len(items))
    predicted = tuning.predict(items.cheap)
    corrected, rectified = predicted.copy(), np.where(np.isnan(items.cheap), np.nan, 0.0)
    corrected[known] += (seen.value - predicted[known]) / seen.probability
    rectified[known] = (seen.value - seen.cheap) / seen.probability
    criteria = np.full(len(items), criteria_version)
    slope = tuning.length_slope
    controlled = None if slope is None else corrected - slope * shortened(items.gap)
    columns = [
        Column(estimand.name, criteria, every, corrected, items.least),
        Column(estimand.labelled, criteria, known, seen.value, seen.probability),
    ]
    if estimand.cheap is not None:
        judged = np.flatnonzero(~np.isnan(items.cheap))
        compared = known[~np.isnan(seen.cheap)]
        columns.append(
            Column(estimand.rectifier, items.scorer_versions, judged, rectified[judged], items.least[judged])
        )
        columns.append(Column(estimand.compared, items.scorer_versions, compared, items.cheap[compared]))
    if estimand.accuracy is not None:
        columns.append(_agreement(estimand.accuracy.name, items, seen))
    if estimand is WIN_RATE and controlled is not None:
        columns.append(Column(WIN_RATE_LC.name, criteria, every, controlled, items.least))
    batches = [batch for column in columns for batch in _batches(items, column)]
    return tuple(sorted(batches, key=lambda batch: batch.series))


def _agreement(signal: str, items: Items, seen: Labelled) -> Column:
    """Return whether the opinion lies on the same side of the middle as each verdict, where both take a side."""
    known = np.flatnonzero(items.selected)
    decided = (np.abs(seen.value - 0.5) > 0.0) & (np.abs(np.nan_to_num(seen.cheap, nan=0.5) - 0.5) > 0.0)
    agrees = ((seen.value > 0.5) == (seen.cheap > 0.5)).astype(np.float64)
    return Column(signal, items.scorer_versions, known[decided], agrees[decided])


def _batches(items: Items, column: Column) -> Iterator[ObservationBatch]:
    """Yield one batch a policy model and version."""
    models, versions = items.policy_models[column.rows], column.versions[column.rows]
    for model, version in sorted(set(zip(models.tolist(), versions.tolist(), strict=True))):
        own = np.flatnonzero((models == model) & (versions == version))
        rows = column.rows[own]
        names, codes = np.unique(items.cohorts[rows], return_inverse=True)
        yield ObservationBatch(
            series=Series(column.signal, model, version),
            cohorts=tuple(names.tolist()),
            cohort_codes=codes.astype(np.int32),
            places=rows.astype(np.int64),
            values=column.values[own],
            inclusion=None if column.inclusion is None else column.inclusion[own],
        )


def sum_days(items: Items, *, estimand: str, criteria_version: str, tuning: Tuning) -> tuple[DaySums, ...]:
    """Return what the days of a block's traces come to, a row a day, policy model, cohort and scorer."""
    days = [moment_of(int(micros)).date() for micros in items.timestamps]
    predicted, gap = tuning.predict(items.cheap), shortened(items.gap)
    cheap = np.where(np.isnan(items.cheap), CENTRE, items.cheap)  # as an opinion that says nothing
    keys = list(
        zip(days, *(c.tolist() for c in (items.policy_models, items.cohorts, items.scorer_versions)), strict=True)
    )
    found = []
    for key in sorted(set(keys)):
        own = np.array([other == key for other in keys])
        day, policy_model, cohort, scorer_version = key
        found.append(
            DaySums(
                estimand=estimand,
                day=day,
                policy_model=policy_model,
                cohort=cohort,
                criteria_version=criteria_version,
                scorer_version=scorer_version,
                items=int(own.sum()),
                cheap_sum=float(cheap[own].sum()),
                cheap_square_sum=float((cheap[own] ** 2).sum()),
                prediction_sum=float(predicted[own].sum()),
                prediction_square_sum=float((predicted[own] ** 2).sum()),
                gap_sum=float(gap[own].sum()),
                least_probability=float(items.least[own].min()),
            )
        )
    return tuple(found)
