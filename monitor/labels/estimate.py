"""From settled blocks to estimates: a rate in a window of time, and how well it is known.

An estimate joins what is known of every trace of the window, as sums a day, with its labelled traces one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime


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


@dataclass(frozen=True, slots=True)
class Span:
    """Whole UTC days, the last one left out."""

    name: str  # "day", "week", "release" or "all"
    start: date
    stop: date


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


def estimate_spans(
    items: Iterable[LabelItem],
    sums: Iterable[DaySums],
    spans: Sequence[Span],
    *,
    rule: EstimateRule,
    length_effect: LengthEffect | None = None,
) -> list[Estimate]:
    """Return one estimate a span, cohort (and all of them) and policy model, where the span holds any trace.

    *items* and *sums* are of one estimand. With *length_effect* each estimate has a second one beside it, its
    length-controlled form. They are in the order of the spans, and within one by cohort and policy model.
    """
    raise NotImplementedError


def usual_spans(sums: Iterable[DaySums], today: date) -> list[Span]:
    """Return *today*, the seven days that end with it, and all days since the first of *sums*."""
    raise NotImplementedError
