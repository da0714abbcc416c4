"""Bradley-Terry models that are linear in features; arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
RIDGES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
FOLDS = 5
_ITERATIONS = 300


@dataclass(frozen=True, slots=True)
class ChosenRidge:
    ridge: float
    loss: float  # mean log loss of pairs that the fit did not see
    accuracy: float  # of the same


def fit_bradley_terry(
    differences: Any, *, ridge: float, weights: Floats | None = None, margins: Floats | float = 0.0
) -> Floats:
    """Return the direction that puts chosen above rejected: P(chosen) = sigmoid(difference . direction - margin).

    *differences* (pairs, features), dense or sparse, are features of chosen less rejected. The loss is the weighted
    mean of -log P, plus ridge / 2 times the direction's squared length; it is convex. A *margin* asks a pair's reward
    difference to be that large before it counts as even.
    """
    pairs, features = differences.shape
    shares = np.full(pairs, 1.0 / pairs) if weights is None else weights / weights.sum()
    turned = differences.T

    def loss(direction: Floats) -> tuple[float, Floats]:
        lead = differences @ direction - margins
        wrong = 0.5 * (1.0 - np.tanh(0.5 * lead))
        value = float(shares @ np.logaddexp(0.0, -lead)) + 0.5 * ridge * float(direction @ direction)
        return value, ridge * direction - turned @ (shares * wrong)

    found = minimize(loss, np.zeros(features), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS})
    direction: Floats = found.x
    return direction


def choose_ridge(
    differences: Any,
    groups: Sequence[int],
    *,
    weights: Floats | None = None,
    margins: Floats | None = None,
    ridges: Sequence[float] = RIDGES,
) -> ChosenRidge:
    """Return the ridge with the least log loss on folds that were left out; pairs of one group are of one fold.

    With fewer groups than folds there is nothing to choose by, and the largest ridge is taken.
    """
    folds = fold_of(groups, FOLDS)
    if len(set(folds.tolist())) < FOLDS:
        return ChosenRidge(max(ridges), float("nan"), float("nan"))
    shares = np.ones(len(folds)) if weights is None else weights
    wanted = np.zeros(len(folds)) if margins is None else margins
    found = []
    for ridge in ridges:
        lead = np.zeros(len(folds))
        for fold in range(FOLDS):
            seen = folds != fold
            direction = fit_bradley_terry(differences[seen], ridge=ridge, weights=shares[seen], margins=wanted[seen])
            lead[~seen] = differences[~seen] @ direction
        loss = float(np.average(np.logaddexp(0.0, -lead), weights=shares))
        found.append(ChosenRidge(ridge, loss, float(np.mean(lead > 0) + np.mean(lead == 0) / 2)))
    return min(found, key=lambda one: one.loss)


def fold_of(groups: Sequence[int], folds: int) -> Integers:
    """Return each item's fold: whole groups, spread by turns in a fixed random order, so that folds are alike."""
    names, places = np.unique(np.asarray(groups, dtype=np.int64), return_inverse=True)
    turns = np.random.default_rng(0).permutation(len(names)) % folds
    fold: Integers = turns[places].astype(np.int64)
    return fold


def balance_lengths(longer: NDArray[np.bool_], shorter: NDArray[np.bool_]) -> Floats:
    """Return weights by which pairs whose chosen answer is the longer one weigh as much as the others; 1 in the mean.

    Pairs of equal lengths keep their weight; so do all where one kind is absent.
    """
    weights = np.ones(len(longer))
    counts = int(longer.sum()), int(shorter.sum())
    if min(counts) > 0:
        weights[longer] = sum(counts) / 2 / counts[0]
        weights[shorter] = sum(counts) / 2 / counts[1]
    return weights
