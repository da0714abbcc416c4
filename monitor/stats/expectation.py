"""What a number is expected to be given covariates: sparse ridge regressions of its location and of its spread.

References
----------
Harvey, "Estimating regression models with multiplicative heteroscedasticity" (Econometrica 1976):
the logarithm of the spread as a linear model of the residuals'.
Chernozhukov et al., "Double/debiased machine learning", arXiv 1608.00060: cross-fitting, here over
contiguous blocks, since rows near in time are alike and a random fold would flatter every model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import lsqr

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ITERATIONS = 30  # of LSQR; the penalty makes the system well conditioned
LEAST_SPREAD = 0.2  # of the residuals' root mean square: nothing is so regular that a bet may take it as certain
CLIP = 4.0  # spreads; a residual beyond counts as this far
TINY = 1e-9
GAIN = 1.0  # standard errors over the blocks by which a richer model must beat a simpler one


@dataclass(frozen=True, slots=True)
class Linear:
    """An intercept and a coefficient for each column."""

    intercept: float
    coefficients: Floats

    def __call__(self, matrix: csr_matrix) -> Floats:
        return np.asarray(self.intercept + matrix @ self.coefficients, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Fit:
    """The chosen model, and what it says of each row when that row's block was held out; arrays (n,)."""

    name: str
    location: Linear
    log_spread: Linear
    least_spread: float
    held_out_location: Floats
    held_out_spread: Floats
    r2: float  # of the held-out location; 0 for the mean


def contiguous_blocks(rows: int, count: int) -> Integers:
    """Return the block, 0 to count - 1, of each of *rows* rows in time order."""
    return np.minimum(np.arange(rows) * count // max(rows, 1), count - 1)


def fit_location_scale(
    candidates: Mapping[str, csr_matrix], values: Floats, blocks: Integers, *, least_spread: float = TINY
) -> Fit:
    """Choose among *candidates*, from the simplest to the richest, and fit the chosen one.

    Parameters
    ----------
    candidates : name to design matrix (n, p), without an intercept. The first is the fallback.
    values : (n,)
    blocks : (n,), a contiguous block of time for each row; each is predicted from the others.
    least_spread : no row is told to be more regular than this.

    A richer candidate is taken only where its held-out error is smaller by GAIN standard errors
    over the blocks. The spread is fitted to the held-out residuals in the same way: constant
    or by the same columns. So a covariate that explains nothing costs nothing.
    """
    names = list(candidates)
    chosen, held_out = names[0], cross_fit(candidates[names[0]], values, blocks)
    for name in names[1:]:
        richer = cross_fit(candidates[name], values, blocks)
        if _gain(held_out, richer, values, blocks) > GAIN:
            chosen, held_out = name, richer
    matrix = candidates[chosen]
    constant = np.full(len(values), _rms(values - held_out) + TINY)
    spread, log_spread = constant, None
    if matrix.shape[1]:
        by_columns = _held_out_spread(matrix, values - held_out, blocks)
        if _surprise_gain(values - held_out, constant, by_columns, blocks) > GAIN:
            weighted = cross_fit(matrix, values, blocks, weights=_weights(by_columns))
            if np.mean(np.abs(values - weighted) / by_columns) < np.mean(np.abs(values - held_out) / by_columns):
                held_out = weighted
            spread = _held_out_spread(matrix, values - held_out, blocks)
            log_spread = _fit_log_spread(matrix, values - held_out)
    location = ridge(matrix, values, weights=None if log_spread is None else _weights(spread))
    residuals = values - held_out
    least = max(LEAST_SPREAD * _rms(residuals) + TINY, least_spread)
    scale = _rms(np.clip(residuals / spread, -CLIP, CLIP)) or 1.0
    if log_spread is None:
        log_spread = Linear(float(np.log(constant[0] * scale)), np.zeros(matrix.shape[1]))
    else:
        log_spread = Linear(log_spread.intercept + float(np.log(scale)), log_spread.coefficients)
    total = float(np.var(values))
    explained = 1.0 - float(np.mean(residuals**2)) / total if total > 0.0 and chosen != names[0] else 0.0
    return Fit(
        name=chosen,
        location=location,
        log_spread=log_spread,
        least_spread=least,
        held_out_location=held_out,
        held_out_spread=np.maximum(spread * scale, least),
        r2=max(explained, 0.0),
    )


def ridge(matrix: csr_matrix, values: Floats, *, weights: Floats | None = None, penalty: float = 3.0) -> Linear:
    """Return the weighted ridge regression of *values* (n,) on *matrix* (n, p); the intercept is not penalised.

    A column's own penalty is set by its scale: one of half the size is penalised four times as much.
    """
    if not len(values):
        return Linear(0.0, np.zeros(matrix.shape[1]))
    share = np.ones(len(values)) if weights is None else weights / weights.mean()
    centre = float((share * values).sum() / share.sum())
    if not matrix.shape[1]:
        return Linear(centre, np.zeros(0))
    root = np.sqrt(share)
    solved = lsqr(diags(root) @ matrix, root * (values - centre), damp=penalty**0.5, iter_lim=ITERATIONS)[0]
    shift = float((share * (values - centre - matrix @ solved)).sum() / share.sum())
    return Linear(centre + shift, np.asarray(solved, dtype=np.float64))


def cross_fit(matrix: csr_matrix, values: Floats, blocks: Integers, *, weights: Floats | None = None) -> Floats:
    """Return what the other blocks' rows say of each row, (n,)."""
    said = np.empty(len(values))
    for block in np.unique(blocks):
        inside = blocks == block
        rest = None if weights is None else weights[~inside]
        said[inside] = ridge(matrix[~inside], values[~inside], weights=rest)(matrix[inside])
    return said


def block_means(values: Floats, weights: Floats, blocks: Integers) -> tuple[Floats, Floats]:
    """Return each block's weighted mean, and its variance if the rows were independent; shapes (B,)."""
    names, codes = np.unique(blocks, return_inverse=True)
    total = np.bincount(codes, weights, len(names))
    means = np.bincount(codes, weights * values, len(names)) / total
    squares = np.bincount(codes, (weights * (values - means[codes])) ** 2, len(names))
    return means, squares / total**2


def _fit_log_spread(matrix: csr_matrix, residuals: Floats) -> Linear:
    floor = LEAST_SPREAD * _rms(residuals) + TINY
    return ridge(matrix, np.log(np.abs(residuals) + floor))


def _held_out_spread(matrix: csr_matrix, residuals: Floats, blocks: Integers) -> Floats:
    floor = LEAST_SPREAD * _rms(residuals) + TINY
    said = np.exp(cross_fit(matrix, np.log(np.abs(residuals) + floor), blocks))
    return np.maximum(said * _rms(np.clip(residuals / said, -CLIP, CLIP)), floor)


def _weights(spread: Floats) -> Floats:
    return 1.0 / spread**2


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0


def _gain(simple: Floats, rich: Floats, values: Floats, blocks: Integers) -> float:
    """Return by how many standard errors over the blocks *rich* errs less than *simple*."""
    return _in_errors((values - simple) ** 2 - (values - rich) ** 2, blocks)


def _surprise_gain(residuals: Floats, simple: Floats, rich: Floats, blocks: Integers) -> float:
    def surprise(spread: Floats) -> Floats:
        return np.asarray(np.log(spread) + 0.5 * np.clip(residuals / spread, -CLIP, CLIP) ** 2)

    return _in_errors(surprise(simple) - surprise(rich), blocks)


def _in_errors(gains: Floats, blocks: Integers) -> float:
    means, _ = block_means(gains, np.ones(len(gains)), blocks)
    error = float(means.std(ddof=1)) / len(means) ** 0.5 if len(means) > 1 else np.inf
    mean = float(means.mean())
    return mean / error if error > 0.0 else (np.inf if mean > 0.0 else -np.inf)
