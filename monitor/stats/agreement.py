"""How far annotators agree, what stood first sways them, and how fast they come and go.

References
----------
Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20 (1960).
De Vries, Elliott, Kanouse, Teleki, "Using pooled kappa to summarize interrater agreement across many items",
Field Methods 20 (2008), equation 3: pairs' agreements and chances are averaged before their ratio is taken.
Krippendorff, "Content analysis" (2004), section 11.3: alpha, its metrics, and units with missing values.
Agresti, Coull, "Approximate is better than 'exact' for interval estimation of binomial proportions",
The American Statistician 52 (1998).
Wilson, JASA 22 (1927): the interval of a share.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

IMAGINED: Floats = np.array([1.0, 1.0, -1.0, -1.0])  # items that an interval counts beside the real ones
Z = 1.959964  # of 95 % intervals
TURNOVER_DAYS = 30.0


class Metric(StrEnum):
    NOMINAL = "nominal"  # values are equal or not: preferences with ties
    ORDINAL = "ordinal"  # they have an order: grades
    INTERVAL = "interval"  # their distances count: ratings between 0 and 1


@dataclass(frozen=True, slots=True)
class Ratings:
    """Who gave which value to which item: parallel arrays (n,), each annotator at most once an item."""

    items: Integers
    annotators: Integers
    values: Floats

    def shared(self) -> Ratings:
        """Return those on items that two annotators or more have rated, with codes from 0 and up."""
        _, items, counts = np.unique(self.items, return_inverse=True, return_counts=True)
        kept = counts[items] > 1
        return Ratings(
            items=_codes(self.items[kept]), annotators=_codes(self.annotators[kept]), values=self.values[kept]
        )


@dataclass(frozen=True, slots=True)
class Agreement:
    """1 is full agreement; for kappa and alpha 0 is what chance would give."""

    value: float
    lower: float
    upper: float
    items: int  # rated by two annotators or more
    annotators: int  # who rated them


@dataclass(frozen=True, slots=True)
class Share:
    value: float
    lower: float
    upper: float
    count: int  # of which it is the share


@dataclass(frozen=True, slots=True)
class Turnover:
    """How much of the panel has changed between two windows of equal length, the recent one and the one before."""

    joined: float  # share of the recent labels given by annotators who gave none before, at any time
    left: float  # share of the earlier window's labels given by annotators who gave none of the recent ones
    labels: int  # recent ones

    @property
    def value(self) -> float:
        """The larger of the two: labels that another panel gives now, or gave then."""
        return max(self.joined, self.left)


def raw_agreement(ratings: Ratings) -> Agreement | None:
    """Return how often two annotators of an item agree: the mean over items of the share of pairs that do.

    None where no item has two annotators.
    """
    shared = ratings.shared()
    if not len(shared.items):
        return None
    pairs = _Pairs.of(shared)
    agreed = pairs.mean_by_item(shared.values[pairs.first] == shared.values[pairs.second])
    # The imagined items of kappa, whose chance agreement is about a half, as shares: two agree and two do not.
    lower, upper = _interval(float(agreed.mean()), agreed, imagined=(IMAGINED + 1.0) / 2.0)
    return _agreement(float(agreed.mean()), (max(lower, 0.0), upper), shared)


def cohen_kappa(ratings: Ratings) -> Agreement | None:
    """Return Cohen's kappa, pooled over the pairs of annotators who share items.

    An annotator's own shares of values are those of all items shared with anybody, so that pairs who share one item
    count too. None where no item has two annotators, or all values are the same.

    Guarantee
    ---------
    For two annotators it is Cohen's kappa. The interval is asymptotic (linearised, over items as independent units)
    with four imagined items, so that few items that all agree do not give a point. By simulation it holds 95 % from
    20 items on; where all but one in ten values are the same, from 100 on, and 80 % with 20. An annotator of a few
    items agrees with them by chance oftener than is true, so a crowd's agreement is better told by alpha.
    """
    shared = ratings.shared()
    if not len(shared.items):
        return None
    pairs = _Pairs.of(shared)
    kinds = _codes(shared.values)
    people, values = shared.annotators, int(kinds.max()) + 1
    counts = np.zeros((int(people.max()) + 1, values))
    np.add.at(counts, (people, kinds), 1.0)
    rated = counts.sum(axis=1, keepdims=True)
    shares = counts / rated
    first, second = people[pairs.first], people[pairs.second]
    disagreed = pairs.mean_by_item(kinds[pairs.first] != kinds[pairs.second])
    by_chance = pairs.mean_by_item(1.0 - (shares[first] * shares[second]).sum(axis=1))
    chance = float(by_chance.mean())
    if chance <= 0.0:
        return None
    # How much each rating moves its annotator's shares, and these the chance of disagreement.
    slopes = np.zeros_like(counts)
    np.add.at(slopes, first, -pairs.weights[:, None] * shares[second])
    np.add.at(slopes, second, -pairs.weights[:, None] * shares[first])
    moved = ((slopes[people, kinds] - (slopes * shares).sum(axis=1)[people]) / rated[people, 0]).astype(np.float64)
    by_chance = by_chance + np.bincount(shared.items, moved)
    ratio = float(disagreed.mean()) / chance
    effects = 1.0 - ratio - (disagreed - ratio * by_chance) / chance
    return _agreement(1.0 - ratio, _interval(1.0 - ratio, effects), shared)


def krippendorff_alpha(ratings: Ratings, metric: Metric = Metric.NOMINAL) -> Agreement | None:
    """Return Krippendorff's alpha of any number of annotators, of whom each may have rated a part.

    None where no item has two annotators, or all values are the same.

    Guarantee
    ---------
    The interval is asymptotic (the jackknife over items) with four imagined items, and holds as far as kappa's does.
    With Metric.ORDINAL the distances of values are held as they are among all.
    """
    shared = ratings.shared()
    if not len(shared.items):
        return None
    domain, kinds = np.unique(shared.values, return_inverse=True)
    counts = np.zeros((int(shared.items.max()) + 1, len(domain)))
    np.add.at(counts, (shared.items, kinds), 1.0)
    size, totals = counts.sum(axis=1), counts.sum(axis=0)
    distances = _distances(domain, totals, metric)
    among = ((counts @ distances) * counts).sum(axis=1) / (size - 1.0)
    expected = float(totals @ distances @ totals)
    if expected <= 0.0:
        return None
    all_among, labels = float(among.sum()), float(size.sum())
    alpha = 1.0 - (labels - 1.0) * all_among / expected
    rest = totals - counts
    left = ((rest @ distances) * rest).sum(axis=1)
    without = 1.0 - (labels - size - 1.0) * (all_among - among) / np.where(left > 0.0, left, expected)
    effects = len(size) * alpha - (len(size) - 1.0) * without
    return _agreement(alpha, _interval(alpha, effects), shared)


def share(count: int, total: int) -> Share | None:
    """Return *count* of *total* with Wilson's 95 % interval; None of nothing.

    For the bias of position *count* are the answers that chose what stood first, and *total* those that chose.
    """
    if total < 1:
        return None
    value, squared = count / total, Z * Z / total
    centre, half = value + squared / 2.0, Z * np.sqrt(value * (1.0 - value) / total + squared / (4.0 * total))
    return Share(
        value=value,
        lower=max(float((centre - half) / (1.0 + squared)), 0.0),
        upper=min(float((centre + half) / (1.0 + squared)), 1.0),
        count=total,
    )


def turnover(annotators: Integers, ages: Floats, *, days: float = TURNOVER_DAYS) -> Turnover | None:
    """Say how much of the panel has changed in the last *days*.

    Parameters
    ----------
    annotators : (n,), who gave each label.
    ages : (n,), days since it was given, 0 or more.

    None where one of the two windows holds no label: a panel that has just begun has not changed.
    """
    recent, earlier = ages < days, (ages >= days) & (ages < 2.0 * days)
    if not recent.any() or not earlier.any():
        return None
    joined = ~np.isin(annotators[recent], annotators[~recent])
    left = ~np.isin(annotators[earlier], annotators[recent])
    return Turnover(joined=float(joined.mean()), left=float(left.mean()), labels=int(recent.sum()))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Each two ratings of one item, as rows of the ratings."""

    first: Integers
    second: Integers
    items: Integers
    weights: Floats  # of one item they sum to 1

    @classmethod
    def of(cls, ratings: Ratings) -> _Pairs:
        order = np.argsort(ratings.items, kind="stable")
        sizes = np.bincount(ratings.items)
        starts = np.cumsum(sizes) - sizes
        firsts, seconds = [], []
        for size in np.unique(sizes):
            rows = starts[sizes == size][:, None]
            upper, lower = np.triu_indices(int(size), 1)
            firsts.append((rows + upper).ravel())
            seconds.append((rows + lower).ravel())
        first, second = order[np.concatenate(firsts)], order[np.concatenate(seconds)]
        items = ratings.items[first]
        return cls(first, second, items, 1.0 / np.bincount(items)[items])

    def mean_by_item(self, values: NDArray[np.float64 | np.bool_]) -> Floats:
        return np.asarray(np.bincount(self.items, self.weights * values))


def _codes(values: NDArray[np.int64 | np.float64]) -> Integers:
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def _distances(domain: Floats, totals: Floats, metric: Metric) -> Floats:
    """Return the squared distances between the values of *domain*, ascending, found *totals* times."""
    if metric is Metric.NOMINAL:
        return np.asarray(1.0 - np.eye(len(domain)))
    places = domain if metric is Metric.INTERVAL else np.cumsum(totals) - totals / 2.0
    return np.asarray((places[:, None] - places) ** 2)


def _interval(value: float, effects: Floats, *, imagined: Floats = IMAGINED) -> tuple[float, float]:
    """Return the interval of a mean of items' *effects*, of mean *value*, with the imagined items among them."""
    items = len(effects) + len(imagined)
    centre = (len(effects) * value + imagined.sum()) / items
    squares = ((effects - centre) ** 2).sum() + ((imagined - centre) ** 2).sum()
    half = float(stdtrit(items - 1.0, 0.975)) * float(np.sqrt(squares)) / items
    return min(float(centre - half), value), min(max(float(centre + half), value), 1.0)


def _agreement(value: float, interval: tuple[float, float], shared: Ratings) -> Agreement:
    return Agreement(value, *interval, items=int(shared.items.max()) + 1, annotators=int(shared.annotators.max()) + 1)
