"""What a signal is expected to be, given what was asked: fitted on a baseline's window, frozen with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from monitor.drift.design import Columns, Encoder
from monitor.stats.expectation import contiguous_blocks, fit_location_scale

Floats = NDArray[np.float64]
MEAN = "mean"  # the simplest expectation: whatever was asked
FOLDS = 8  # contiguous blocks of time, each predicted from the others
LEAST_PER_FOLD = 10
MAX_ROWS = 10_000  # a longer window is fitted on so many of its rows, evenly spread
GRID = 128  # quantiles kept of the studentised residuals
QUANTILES: Floats = (np.arange(GRID) + 0.5) / GRID
CATEGORIES = ("language", "context", "hour", "turns")


@dataclass(frozen=True, slots=True)
class Expectation:
    """Location and spread of a signal's values as linear functions of the covariates' columns.

    Coefficients are float32, little endian, for the dense columns, then for the words where they are
    used, then for the embedding where it is.
    """

    uses: str  # the richest covariates that explained anything: mean, categories, numbers, words, embedding
    r2: float  # held out, over contiguous blocks of time
    words: bool
    embedding: bool
    location_intercept: float
    location: bytes
    log_spread_intercept: float
    log_spread: bytes
    least_spread: float
    residuals: tuple[float, ...]  # GRID quantiles of the held-out residuals in spreads

    def __call__(self, columns: Columns) -> tuple[Floats, Floats]:
        """Return the expected location and spread of each row, (n,) both."""
        location = self._linear(columns, self.location, self.location_intercept)
        spread = np.exp(self._linear(columns, self.log_spread, self.log_spread_intercept))
        return location, np.maximum(spread, self.least_spread)

    def _linear(self, columns: Columns, stored: bytes, intercept: float) -> Floats:
        if not stored:
            return np.full(len(columns.dense), intercept)
        coefficients = np.frombuffer(stored, "<f4").astype(np.float64)
        said = intercept + coefficients[: columns.width][columns.dense].sum(axis=1)
        at = columns.width
        if self.words:
            said = said + columns.words @ coefficients[at : at + columns.words.shape[1]]
            at += columns.words.shape[1]
        if self.embedding:
            said = said + np.einsum("nd,d->n", columns.embedding, coefficients[at:])  # rounds each row alike
        return np.asarray(said, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Expected:
    """An expectation, and what it says of the window's own rows when their block was held out; arrays (n,)."""

    expectation: Expectation
    location: Floats
    spread: Floats


def fit_expectation(
    columns: Columns | None, encoder: Encoder | None, values: Floats, *, least_spread: float
) -> Expected:
    """Fit *values* (n,) of the window, in time order, on its subjects' *columns*; None: by their mean alone.

    A window longer than MAX_ROWS is fitted on so many rows; what is said of the others was not fitted to them.
    """
    rows = np.unique(np.linspace(0, len(values) - 1, min(len(values), MAX_ROWS)).astype(np.int64))
    folds = contiguous_blocks(len(rows), min(FOLDS, max(len(rows) // LEAST_PER_FOLD, 2)))
    plans = {MEAN: Plan()} if columns is None or encoder is None else plans_of(encoder)
    sample = None if columns is None else columns.rows(rows)
    matrices = {name: plan.matrix(sample, len(rows)) for name, plan in plans.items()}
    fit = fit_location_scale(matrices, values[rows], folds, least_spread=least_spread)
    residuals = (values[rows] - fit.held_out_location) / fit.held_out_spread
    explained = fit.name != MEAN
    expectation = Expectation(
        uses=fit.name,
        r2=fit.r2,
        words=plans[fit.name].words,
        embedding=plans[fit.name].embedding,
        location_intercept=fit.location.intercept,
        location=fit.location.coefficients.astype("<f4").tobytes(),
        log_spread_intercept=fit.log_spread.intercept,
        log_spread=fit.log_spread.coefficients.astype("<f4").tobytes(),
        least_spread=fit.least_spread,
        residuals=tuple(float(value) for value in np.quantile(residuals, QUANTILES)),
    )
    if columns is None or not explained:
        spread = max(float(np.exp(fit.log_spread.intercept)), fit.least_spread)
        return Expected(expectation, np.full(len(values), fit.location.intercept), np.full(len(values), spread))
    location, spreads = expectation(columns)
    location[rows], spreads[rows] = fit.held_out_location, fit.held_out_spread
    return Expected(expectation, location, spreads)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which columns a candidate has."""

    features: tuple[int, ...] = ()
    words: bool = False
    embedding: bool = False

    def matrix(self, columns: Columns | None, rows: int) -> csr_matrix:
        if columns is None or not (self.features or self.words or self.embedding):
            return csr_matrix((rows, 0))
        return columns.matrix(self.features, words=self.words, embedding=self.embedding)


def plans_of(encoder: Encoder) -> dict[str, Plan]:
    """Return the candidates, from the simplest to the richest; those that the window cannot tell apart are left out."""
    features = encoder.features
    categories = tuple(number for name in CATEGORIES for number in features[name])
    every = tuple(number for numbers in features.values() for number in numbers)
    plans = {MEAN: Plan(), "categories": Plan(categories)}
    if encoder.input_tokens or encoder.prompt_words:
        plans["numbers"] = Plan(every)
    if encoder.words:
        plans["words"] = Plan(every, words=True)
    if encoder.embedding_dimensions:
        plans["embedding"] = Plan(every, words=bool(encoder.words), embedding=True)
    return plans
