"""The mean of a verdict between 0 and 1, from a cheap opinion on every item and verdicts on a drawn few.

References
----------
Angelopoulos, Duchi, Zrnic, "PPI++: efficient prediction-powered inference", arXiv 2311.01453, section 6 (power tuning).
Robins, Rotnitzky, Zhao, JASA 89 (1994): the augmented inverse-probability estimator; with its weights normed it is the
generalised regression estimator of Sarndal, Swensson, Wretman, "Model assisted survey sampling" (1992), chapter 6.
Agresti, Coull, "Approximate is better than 'exact' for interval estimation of binomial proportions",
The American Statistician 52 (1998): two successes and two failures more.
MacKinnon, White, Journal of Econometrics 29 (1985): squared residuals over one minus their leverage (HC2).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]

IMAGINED: Floats = np.array([0.0, 1.0, 0.0, 1.0])  # verdicts that the interval counts beside the real ones
IMAGINED_OPINIONS: Floats = np.array([1.5, 1.5, -1.5, -1.5])  # in standard deviations from the mean opinion
NOMINAL = 0.8  # of the errors allowed; the rest is for what t quantiles miss where verdicts are rare and weights uneven
MOST_LEVERAGE = 0.7
LEAST_SPREAD = 1e-6  # of opinions that say anything
LEAST_ODDS = 1e-9  # of not being drawn; with none at all there is nothing to weigh by


@dataclass(frozen=True, slots=True)
class Labelled:
    """The items that were drawn and have their verdict; arrays (n,)."""

    opinions: Floats  # NaN where an item has none
    values: Floats  # the verdicts, 0 to 1
    probabilities: Floats  # with which each was drawn, above 0; known before its verdict was

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Population:
    """All items, labelled or not, as sums."""

    items: int
    opinions: int = 0  # items that have an opinion
    opinion_sum: float = 0.0
    opinion_square_sum: float = 0.0

    @property
    def mean(self) -> float:
        return self.opinion_sum / self.opinions if self.opinions else 0.0

    @property
    def sd(self) -> float:
        if not self.opinions:
            return 0.0
        return float(np.sqrt(max(self.opinion_square_sum / self.opinions - self.mean**2, 0.0)))


@dataclass(frozen=True, slots=True)
class MeanEstimate:
    """What opinions and verdicts together tell of the mean, and what the verdicts tell alone."""

    estimate: float
    lower: float
    upper: float
    classical: float
    classical_lower: float
    classical_upper: float
    labels: int
    items: int
    labels_gained: float  # more labels that an interval as short would take without the opinions; may be below 0
    labels_to_halve: int | None  # more labels of these items for half the length; None: all of them would not do


def estimate_mean(
    labelled: Labelled, population: Population, *, min_labels: int = 30, alpha: float = 0.05
) -> MeanEstimate | None:
    """Estimate the mean verdict of what *population* was drawn from; None with fewer than *min_labels* labels.

    The prediction m = a + c f of a verdict from its opinion f is fitted to the labelled; the estimate is the mean
    prediction of all items, plus the mean of y - m over the labelled, weighted by 1/pi. An item without an opinion is
    predicted as one with a mean opinion. Var = (Var y + E (1/pi - 1)(y - m)^2) / items, so a and c are fitted by least
    squares with the weights (1/pi)(1/pi - 1), which make it least.

    Assumptions
    -----------
    Items are independent. Each is drawn with its probability, whatever its verdict would have been, and all that were
    drawn are here.

    Guarantee
    ---------
    Whatever the opinions are worth, the estimate is consistent. The intervals are asymptotic; made for few labels and
    rare verdicts, they count four imagined ones, and use t quantiles of `NOMINAL` * alpha at the effective number of
    labels. By simulation they hold 1 - alpha from 30 labels on (`tests/benchmarks/winrate`).
    """
    if len(labelled) < max(min_labels, 1):
        return None
    opinions = np.nan_to_num(labelled.opinions - population.mean, nan=0.0)
    both = _Fit.of(labelled, opinions, spread=population.sd, items=population.items)
    alone = _Fit.of(labelled, np.zeros(len(labelled)), spread=0.0, items=population.items)
    lower, upper = both.interval(alpha)
    classical_lower, classical_upper = alone.interval(alpha)
    gain = (alone.half_width(alpha) / both.half_width(alpha)) ** 2 - 1.0
    return MeanEstimate(
        estimate=float(np.clip(both.estimate, 0.0, 1.0)),
        lower=lower,
        upper=upper,
        classical=float(np.clip(alone.estimate, 0.0, 1.0)),
        classical_lower=classical_lower,
        classical_upper=classical_upper,
        labels=len(labelled),
        items=population.items,
        labels_gained=len(labelled) * gain,
        labels_to_halve=both.labels_to_halve(len(labelled)),
    )


@dataclass(frozen=True, slots=True)
class _Fit:
    """Least squares of verdicts on opinions, the imagined ones among them."""

    estimate: float  # of the real labels
    centre: float  # of the interval
    of_items: float  # the part of the variance that no label takes away
    of_labels: float  # the part that goes with 1/pi
    all_labelled: float  # what `of_labels` would be with every item labelled
    freedom: float
    items: int

    @classmethod
    def of(cls, labelled: Labelled, opinions: Floats, *, spread: float, items: int) -> _Fit:
        """Fit to *opinions* (n,), whose mean over all items is 0 and whose standard deviation is *spread*.

        An imagined verdict weighs what a label drawn in proportion to its weight does. Each label's prediction takes
        the slope of the others, so that it adds no bias.
        """
        real = 1.0 / labelled.probabilities
        imagined = (real**2).sum() / real.sum()
        weights = np.concatenate([real, np.full(len(IMAGINED), imagined)])
        values = np.concatenate([labelled.values, IMAGINED])
        opinions = np.concatenate([opinions, spread * IMAGINED_OPINIONS])
        total = weights.sum()
        costs = weights * np.maximum(weights - 1.0, LEAST_ODDS)
        centred = opinions - np.average(opinions, weights=costs)
        scatter = float((costs * centred**2).sum())
        pull = costs * centred / scatter if spread > LEAST_SPREAD else np.zeros(len(values))
        slope = (pull * values).sum()
        leverage = np.minimum(costs / costs.sum() + pull * centred, MOST_LEVERAGE)
        residuals = values - slope * centred - np.average(values, weights=costs)
        explained = (slope - pull * residuals / (1.0 - leverage)) * opinions
        squares = residuals**2 / (1.0 - leverage)
        estimate = float(np.average((values - explained)[: len(real)], weights=real))
        centre = float(np.average(values - explained, weights=weights))
        return cls(
            estimate=estimate,
            centre=centre,
            of_items=float(np.average((values - centre) ** 2, weights=weights)) / items,
            of_labels=float((weights**2 * squares).sum()) / total**2,
            all_labelled=float((weights * squares).sum()) / total**2,
            freedom=max(float(total**2 / (weights**2).sum()) - len(IMAGINED) - 2.0, 2.0),
            items=items,
        )

    @property
    def variance(self) -> float:
        return self.of_items + self.of_labels - self.all_labelled

    def half_width(self, alpha: float) -> float:
        quantile = float(stdtrit(self.freedom, 1.0 - NOMINAL * alpha / 2.0))
        return quantile * float(np.sqrt(self.variance))

    def interval(self, alpha: float) -> tuple[float, float]:
        """Return the interval, stretched where the estimate lies outside."""
        half = self.half_width(alpha)
        ends = min(self.centre - half, self.estimate), max(self.centre + half, self.estimate)
        lower, upper = np.clip(ends, 0.0, 1.0)
        return float(lower), float(upper)

    def labels_to_halve(self, labels: int) -> int | None:
        """Return how many labels more, drawn in the same proportions, would leave a quarter of the variance."""
        left = self.variance / 4.0 - self.of_items + self.all_labelled
        if left <= 0.0 or labels * self.of_labels > left * self.items:
            return None
        return ceil(labels * (self.of_labels / left - 1.0))
