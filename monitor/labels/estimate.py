"""From settled blocks to estimates: a rate in a window of time, and how well it is known.

An estimate joins what is known of every trace of the window, as sums a day, with its labelled traces one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import product
from typing import TypeVar

import numpy as np

from monitor.domain.cohort import ALL
from monitor.signals.estimand import WIN_RATE_LC
from monitor.stats.confseq import Drawn, drawn_mean_interval
from monitor.stats.ppi import Labelled, Population, estimate_mean

WEEK_DAYS = 7
Key = tuple[str, str, str]  # policy model, criteria version, cohort


@dataclass(frozen=True, slots=True)
class LabelItem:
    """A trace of a settled block that was selected: labelled, or with its label missing."""

    estimand: str  # its name in `signals.estimand.ESTIMANDS`
    trace_id: str
    number: int  # of its block
    timestamp: datetime  # the trace's
    policy_model: str
    cohort: str
    scorer_version: str  # of the cheap opinion; "" without one
    criteria_version: str  # "" for any
    cheap: float | None  # the opinion, 0 to 1
    prediction: float  # made of it, from earlier blocks alone
    probability: float  # with which it was selected
    length_gap: float | None  # log ratio of the words of the answer and of its reference
    value: float | None  # the verdict, 0 to 1; None where it is missing
    annotators: int
    labelled_at: datetime | None


@dataclass(frozen=True, slots=True)
class DaySums:
    """Sums over the traces of settled blocks, labelled or not, by the UTC day of their timestamp."""

    estimand: str
    day: date
    policy_model: str
    cohort: str
    criteria_version: str
    scorer_version: str
    items: int
    cheap_sum: float
    cheap_square_sum: float
    prediction_sum: float
    prediction_square_sum: float
    gap_sum: float  # of `tuning.shortened` length gaps
    least_probability: float  # with which any of them may have been selected


@dataclass(frozen=True, slots=True)
class Span:
    """Whole UTC days, the last one left out."""

    name: str  # "day", "week", "release" or "all"
    start: date
    stop: date


Row = TypeVar("Row", LabelItem, DaySums)


@dataclass(frozen=True, slots=True)
class LengthEffect:
    """How much of a verdict its answer's length makes: `per_gap` a tanh(length gap / `spread`)."""

    per_gap: float
    spread: float


@dataclass(frozen=True, slots=True)
class EstimateRule:
    min_labels: int = 30  # fewer give no number
    alpha: float = 0.05  # 1 - coverage, of each interval


@dataclass(frozen=True, slots=True)
class Bounds:
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rate among all traces of a cohort under one policy model, in one span of days; None where nothing can be said.

    `bounds` hold at the time that was chosen beforehand; `anytime` hold however often one has looked.
    """

    signal: str  # the estimand's name, or "win_rate_lc"
    cohort: str  # `cohort.ALL` is all of them
    policy_model: str
    criteria_version: str  # "" for any
    span: Span
    traces: int  # of settled blocks
    labels: int
    missing: int  # selected, and nobody could judge them in time
    estimate: float | None = None
    bounds: Bounds | None = None
    anytime: Bounds | None = None
    classical: Bounds | None = None  # of the labels alone
    effective_labels: float | None = None  # labels alone that would give as short an interval
    labels_to_halve: int | None = None  # further labels, until the interval is half as long
    reason: str | None = None  # why there is no number
    opinion: float | None = None  # the rate as the cheap opinion alone has it; None where there is none


def estimate_spans(
    items: Iterable[LabelItem],
    sums: Iterable[DaySums],
    spans: Sequence[Span],
    *,
    rule: EstimateRule,
    length_effect: LengthEffect | None = None,
) -> list[Estimate]:
    """Return one estimate a span, cohort (and all of them) and policy model, where the span holds any trace.

    *items* and *sums* are of one estimand; where its labels have had several criteria, each has estimates of its own.
    With *length_effect* each estimate has a second one beside it, its length-controlled form. They are in the order of
    the spans, and within one by policy model, criteria and cohort, all cohorts first.
    """
    of_items, of_sums = _by_stream(items), _by_stream(sums)
    keys = sorted(of_sums, key=lambda key: (key[0], key[1], key[2] != ALL, key[2]))
    found = []
    for span, key in product(spans, keys):
        within = [row for row in of_sums[key] if span.start <= row.day < span.stop]
        if not within:
            continue
        own = [item for item in of_items.get(key, ()) if span.start <= item.timestamp.date() < span.stop]
        estimate = _estimate(own, within, key, span=span, rule=rule)
        controlled = None if length_effect is None else _length_controlled(estimate, within, length_effect)
        found += [estimate] if controlled is None else [estimate, controlled]
    return found


def usual_spans(sums: Iterable[DaySums], today: date) -> list[Span]:
    """Return *today*, the seven days that end with it, and all days since the first of *sums*.

    Estimates are of one policy model each, so the last span tells of it since it was released.
    """
    stop = today + timedelta(days=1)
    first = min((row.day for row in sums), default=today)
    return [
        Span("day", today, stop),
        Span("week", stop - timedelta(days=WEEK_DAYS), stop),
        Span("release", min(first, today), stop),
    ]


def _by_stream(rows: Iterable[Row]) -> dict[Key, list[Row]]:
    """Return *rows* by policy model, criteria and cohort; each stands under its own cohort and under all of them."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        for cohort in (row.cohort, ALL):
            found.setdefault((row.policy_model, row.criteria_version, cohort), []).append(row)
    return found


def _estimate(
    items: Sequence[LabelItem], sums: Sequence[DaySums], key: Key, *, span: Span, rule: EstimateRule
) -> Estimate:
    model, criteria, cohort = key
    judged = [item for item in items if item.value is not None]
    population = _population(sums)
    empty = Estimate(
        signal=sums[0].estimand,
        cohort=cohort,
        policy_model=model,
        criteria_version=criteria,
        span=span,
        traces=population.items,
        labels=len(judged),
        missing=len(items) - len(judged),
        opinion=population.opinion_sum / population.opinions if population.opinions else None,
    )
    found = estimate_mean(
        Labelled(
            opinions=np.array([np.nan if item.cheap is None else item.cheap for item in judged], dtype=np.float64),
            values=np.array([item.value for item in judged], dtype=np.float64),
            probabilities=np.array([item.probability for item in judged], dtype=np.float64),
        ),
        population,
        min_labels=rule.min_labels,
        alpha=rule.alpha,
    )
    if found is None:
        return replace(empty, reason=f"{len(judged)} labels; an estimate takes at least {rule.min_labels}")
    return replace(
        empty,
        estimate=found.estimate,
        bounds=Bounds(found.lower, found.upper),
        anytime=_anytime(judged, sums, rule.alpha),
        classical=Bounds(found.classical_lower, found.classical_upper),
        effective_labels=found.labels + found.labels_gained,
        labels_to_halve=found.labels_to_halve,
    )


def _population(sums: Sequence[DaySums]) -> Population:
    opined = [row for row in sums if row.scorer_version]
    return Population(
        items=sum(row.items for row in sums),
        opinions=sum(row.items for row in opined),
        opinion_sum=sum(row.cheap_sum for row in opined),
        opinion_square_sum=sum(row.cheap_square_sum for row in opined),
    )


def _anytime(judged: Sequence[LabelItem], sums: Sequence[DaySums], alpha: float) -> Bounds:
    interval = drawn_mean_interval(
        Drawn(
            predictions=np.array([item.prediction for item in judged], dtype=np.float64),
            values=np.array([item.value for item in judged], dtype=np.float64),
            probabilities=np.array([item.probability for item in judged], dtype=np.float64),
            items=sum(row.items for row in sums),
            prediction_sum=sum(row.prediction_sum for row in sums),
            prediction_square_sum=sum(row.prediction_square_sum for row in sums),
            least_probability=min(row.least_probability for row in sums),
        ),
        alpha=alpha,
    )
    return Bounds(interval.lower, interval.upper)


def _length_controlled(estimate: Estimate, sums: Sequence[DaySums], effect: LengthEffect) -> Estimate:
    """Return *estimate* less what the answers' length makes of it, which is known of every trace.

    The intervals keep their width: what length explains of the verdicts adds nothing to it.
    """
    estimate = replace(estimate, opinion=None)
    if estimate.estimate is None:
        return replace(estimate, signal=WIN_RATE_LC.name)
    shift = -effect.per_gap * sum(row.gap_sum for row in sums) / estimate.traces

    def moved(bounds: Bounds | None) -> Bounds | None:
        return None if bounds is None else Bounds(_rate(bounds.lower + shift), _rate(bounds.upper + shift))

    return replace(
        estimate,
        signal=WIN_RATE_LC.name,
        estimate=_rate(estimate.estimate + shift),
        bounds=moved(estimate.bounds),
        anytime=moved(estimate.anytime),
        classical=moved(estimate.classical),
    )


def _rate(value: float) -> float:
    return min(max(value, 0.0), 1.0)
