"""How two answerers differ on the same items, with intervals for few items, rare differences and clusters.

References
----------
Bonett, Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data",
Journal of Educational and Behavioral Statistics 37 (2012): one imagined pair more for each way to differ.
Liang, Zeger, Biometrika 73 (1986): the sandwich over clusters.
MacKinnon, White, Journal of Econometrics 29 (1985): residuals over one minus their leverage (HC3).
Dubois et al., "Length-controlled AlpacaEval", arXiv 2404.04475: the win rate at equal length.
Angelopoulos, Duchi, Zrnic, "PPI++", arXiv 2311.01453: verdicts that are predicted from opinions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from monitor.stats.length_control import SLOPE_PRIOR

Floats = NDArray[np.float64]
Clusters = Sequence[str]

HALF = 0.5
MOST_LEVERAGE = 0.7
LEAST_SPREAD = 1e-6  # of opinions that say anything
_IMAGINED = ("imagined win", "imagined loss")


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate less champion, in the mean over items."""

    items: int
    clusters: int
    candidate: float
    champion: float
    difference: float
    lower: float
    upper: float


def paired_difference(
    candidate: Floats,
    champion: Floats,
    clusters: Clusters,
    *,
    limit: float | None = None,
    flips: float | None = None,
    alpha: float = 0.05,
) -> Difference | None:
    """Compare two values (n,) of each item; None where no interval can be had: no item, or one cluster of any reals.

    *limit* is the most that an item's two values can differ; None is any. With a limit, two imagined clusters of mean
    size stand beside the real ones. In one of them *flips* items differ by the limit and in the other by as much the
    other way; None is all of them. So where no item differs the interval still has the width that so many items can
    show.

    Assumptions
    -----------
    Clusters are independent, and drawn from what is meant.

    Guarantee
    ---------
    Asymptotic. By simulation the interval holds 1 - alpha of paired proportions from 20 clusters on, however rare
    differences are (`tests/statistics/test_comparison.py`).
    """
    count = len(candidate)
    differences = np.asarray(candidate - champion, dtype=np.float64)
    codes = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)[1]
    if not count or (limit is None and len(set(clusters)) < 2):
        return None
    sizes = np.bincount(codes).astype(np.float64)
    sums = np.bincount(codes, weights=differences)
    estimate = float(differences.mean())
    real = len(sizes)
    if limit is not None:
        size = float((sizes**2).sum() / count)
        flipped = limit * (size if flips is None else min(flips, size))
        sizes, sums = np.append(sizes, [size, size]), np.append(sums, [flipped, -flipped])
    centre = float(sums.sum() / sizes.sum())
    half = _half_width(sums - centre * sizes, sizes, total=float(sizes.sum()), fitted=1, alpha=alpha)
    lower, upper = _stretched(centre, half, estimate, limit=limit)
    return Difference(count, real, float(candidate.mean()), float(champion.mean()), estimate, lower, upper)


def win_difference(wins: Floats, clusters: Clusters, *, alpha: float = 0.05) -> Difference | None:
    """Compare the win rate with one half; *wins* (n,) are 1, 1/2 or 0. The champion has what is left."""
    found = paired_difference(wins, np.full(len(wins), HALF), clusters, limit=HALF, alpha=alpha)
    return None if found is None else _as_wins(found)


def win_difference_at_equal_length(
    wins: Floats, gaps: Floats, clusters: Clusters, *, alpha: float = 0.05
) -> Difference | None:
    """Compare the win rate with one half, less what the difference in length explains.

    *gaps* (n,) say how much longer each answer is than its opponent, as `length_control.shortened` does. The wins are
    regressed on them, `SLOPE_PRIOR` items' worth of "length tells nothing" standing beside; the rate is that at gap 0.
    The interval counts the slope's error too.
    """
    if not len(wins):
        return None
    middle = float(gaps.mean())
    sizes = np.array(list(Counter(clusters).values()), dtype=np.float64)
    size = float((sizes**2).sum() / len(wins))
    fit = _Fit.of(
        np.column_stack([np.ones(len(wins) + 2), np.append(gaps, [middle, middle])]),
        np.append(wins, [1.0, 0.0]),
        np.append(np.ones(len(wins)), [size, size]),
        [*clusters, *_IMAGINED],
        penalty=np.array([0.0, SLOPE_PRIOR]),
    )
    estimate = float(wins.mean()) - float(fit.coefficients[1]) * middle - HALF
    half = fit.half_width(np.array([1.0, 0.0]), alpha=alpha)
    lower, upper = _stretched(float(fit.coefficients[0]) - HALF, half, estimate, limit=HALF)
    kept = float(np.clip(estimate, -HALF, HALF))
    return _as_wins(Difference(len(wins), len(set(clusters)), 0.0, 0.0, kept, lower, upper))


@dataclass(frozen=True, slots=True)
class Judged:
    """Answers that people judged against another; arrays (n,)."""

    opinions: Floats  # the ensemble's of the same two answers, 0 to 1
    gaps: Floats  # how much longer the answer is, shortened
    verdicts: Floats  # people's, 0 to 1
    probabilities: Floats  # with which each was drawn to be judged
    clusters: Clusters


@dataclass(frozen=True, slots=True)
class PeoplesDifference:
    difference: Difference
    worth: float  # how much of a difference in opinion people share; 1 is all of it
    worth_lower: float
    worth_upper: float


def win_difference_by_people(
    judged: Judged, opinions: Floats, gaps: Floats, clusters: Clusters, *, alpha: float = 0.05
) -> PeoplesDifference | None:
    """Predict people's win rate of the candidate from the ensemble's *opinions* and *gaps* (n,) of both answers.

    People judged other answers: production's, against its reference response. Of these, weighted by 1/probability, the
    verdict is regressed on opinion and gap: y = a + c (f - 1/2) + l g. Candidate and champion have no such sides, so a
    falls out, as any constant bias of the ensemble does, and the rate is 1/2 + c mean(f - 1/2) + l mean(g). None where
    opinions of the judged are all alike, or nothing was asked.

    Assumptions
    -----------
    Opinion and length mean the same for people between the candidate's and the champion's answers as between the
    judged ones. Each judged answer was drawn with its probability, whatever its verdict.

    Guarantee
    ---------
    Under these, asymptotic; the errors of c, l and of the means are all counted.
    """
    if not len(opinions) or len(judged.verdicts) < 4 or float(judged.opinions.std()) < LEAST_SPREAD:
        return None
    fit = _Fit.of(
        np.column_stack([np.ones(len(judged.verdicts)), judged.opinions - HALF, judged.gaps]),
        judged.verdicts,
        1.0 / judged.probabilities,
        judged.clusters,
        penalty=np.array([0.0, 0.0, SLOPE_PRIOR]),
    )
    taste = fit.coefficients[1:]
    predicted = np.column_stack([opinions - HALF, gaps]) @ taste
    moved = paired_difference(
        predicted, np.zeros(len(predicted)), clusters, limit=HALF * float(abs(taste[0])) or None, alpha=alpha
    )
    if moved is None:
        return None
    means = np.array([0.0, float((opinions - HALF).mean()), float(gaps.mean())])
    learnt = fit.half_width(means, alpha=alpha)
    lower = moved.difference - float(np.hypot(moved.difference - moved.lower, learnt))
    upper = moved.difference + float(np.hypot(moved.upper - moved.difference, learnt))
    kept = np.clip([moved.difference, lower, upper], -HALF, HALF)
    worth = fit.half_width(np.array([0.0, 1.0, 0.0]), alpha=alpha)
    return PeoplesDifference(
        _as_wins(Difference(len(opinions), len(set(clusters)), 0.0, 0.0, *map(float, kept))),
        float(taste[0]),
        float(taste[0]) - worth,
        float(taste[0]) + worth,
    )


@dataclass(frozen=True, slots=True)
class _Fit:
    """Weighted least squares, and how far each cluster moves the coefficients."""

    coefficients: Floats  # (k,)
    moves: Floats  # (clusters, k)
    weights: Floats  # (clusters,)

    @classmethod
    def of(cls, design: Floats, values: Floats, weights: Floats, clusters: Clusters, *, penalty: Floats) -> _Fit:
        """Fit *values* (n,) to *design* (n, k); *penalty* (k,) is in mean weights."""
        weighted = design * weights[:, None]
        inverse = np.linalg.pinv(design.T @ weighted + np.diag(penalty * weights.mean()))
        coefficients = inverse @ (weighted.T @ values)
        leverage = np.minimum(np.einsum("nk,kj,nj->n", weighted, inverse, design), MOST_LEVERAGE)
        residuals = (values - design @ coefficients) / (1.0 - leverage)
        codes = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)[1]
        moves = np.zeros((int(codes.max()) + 1, design.shape[1]))
        np.add.at(moves, codes, (weighted * residuals[:, None]) @ inverse)
        return cls(coefficients, moves, np.bincount(codes, weights=weights).astype(np.float64))

    def half_width(self, of: Floats, *, alpha: float) -> float:
        """Return that of the interval of the coefficients' sum, weighted by *of* (k,)."""
        return _half_width(self.moves @ of, self.weights, total=1.0, fitted=len(self.coefficients), alpha=alpha)


def _half_width(deviations: Floats, sizes: Floats, *, total: float, fitted: int, alpha: float) -> float:
    """Return that of the interval of a sum of *deviations* (clusters,) over *total*."""
    effective = float(sizes.sum() ** 2 / (sizes**2).sum())
    corrected = len(sizes) / max(len(sizes) - 1.0, 1.0)
    error = np.sqrt(corrected * (deviations**2).sum()) / total
    return float(stdtrit(max(effective - fitted, 1.0), 1.0 - alpha / 2.0) * error)


def _stretched(centre: float, half: float, estimate: float, *, limit: float | None) -> tuple[float, float]:
    """Return the interval's ends, with the estimate between them and neither beyond the limit."""
    lower, upper = min(centre - half, estimate), max(centre + half, estimate)
    return (lower, upper) if limit is None else (max(lower, -limit), min(upper, limit))


def _as_wins(found: Difference) -> Difference:
    rate = HALF + found.difference
    return Difference(found.items, found.clusters, rate, 1.0 - rate, found.difference, found.lower, found.upper)
