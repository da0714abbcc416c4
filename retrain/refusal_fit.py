"""Fitting the learned refusal model: two penalised logistic regressions on hand-made features."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, hstack

from monitor.signals.refusal import features
from monitor.signals.refusal.weights import TOKEN_VALUE, RefusalWeights
from retrain.refusal_rows import LabelledAnswer

Floats = NDArray[np.float64]
Chosen = NDArray[np.int64]
LEAST_ANSWERS = 8  # that hold a token
LEAST_MODELS = 2  # among whose answers it is: what one model alone says does not carry over
STEPS = 300
UNREAD = (0.003, 0.0026)  # what ordinary answers that are not read come to on average, where they are
LEAST_WEIGHT = 0.002  # of a token that is written: less moves no probability by a thousandth


@dataclass(frozen=True, slots=True)
class Read:
    """The features of all answers, and what they are called."""

    tokens: tuple[frozenset[str], ...]
    numbers: Floats  # (rows, numbers)
    refuses: Floats  # 0 or 1, (rows,)
    full: Floats
    models: tuple[tuple[str, str], ...]  # source and model

    @classmethod
    def of(cls, rows: Sequence[LabelledAnswer]) -> Read:
        found = [features.features_of(row.prompt, features.look_at(row.answer)) for row in rows]
        return cls(
            tokens=tuple(frozenset(tokens) for tokens, _ in found),
            numbers=np.array([numbers for _, numbers in found], dtype=np.float64),
            refuses=np.array([row.refuses for row in rows], dtype=np.float64),
            full=np.array([row.refusal == "full" for row in rows], dtype=np.float64),
            models=tuple((row.source, row.model) for row in rows),
        )

    def vocabulary(self, chosen: Chosen) -> dict[str, int]:
        """Return the column of each token that enough of the *chosen* answers, of enough models, hold."""
        answers: Counter[str] = Counter()
        models: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for row in chosen:
            answers.update(self.tokens[row])
            for token in self.tokens[row]:
                models[token].add(self.models[row])
        kept = sorted(t for t, held in answers.items() if held >= LEAST_ANSWERS and len(models[t]) >= LEAST_MODELS)
        return {token: column for column, token in enumerate(kept)}

    def matrix(self, chosen: Chosen, vocabulary: Mapping[str, int]) -> csr_matrix:
        held = [sorted(vocabulary[t] for t in self.tokens[row] if t in vocabulary) for row in chosen]
        starts = np.cumsum([0, *map(len, held)])
        columns = np.array([column for own in held for column in own], dtype=np.int64)
        present = csr_matrix((np.full(len(columns), TOKEN_VALUE), columns, starts), (len(chosen), len(vocabulary)))
        return hstack([present, csr_matrix(self.numbers[chosen])], format="csr")


@dataclass(frozen=True, slots=True)
class Fitted:
    vocabulary: Mapping[str, int]
    refuses: Floats  # weights of tokens and numbers, then the intercept
    full: Floats

    def scores(self, read: Read, chosen: Chosen) -> tuple[Floats, Floats]:
        """Return the log odds of refusing, and of doing so in full where it refuses."""
        matrix = read.matrix(chosen, self.vocabulary)
        refuses, full = (np.asarray(matrix @ own[:-1] + own[-1]) for own in (self.refuses, self.full))
        return refuses, full


def fit(read: Read, chosen: Chosen, strength: float) -> Fitted:
    """Fit both regressions on the *chosen* rows; *strength* is the inverse of the penalty."""
    vocabulary = read.vocabulary(chosen)
    matrix = read.matrix(chosen, vocabulary)
    refusing = np.flatnonzero(read.refuses[chosen] == 1.0)
    full = read.full[chosen][refusing]
    if len(np.unique(full)) < 2:  # nobody tells full from partial: as full as the labels say
        in_full = np.zeros(matrix.shape[1] + 1)
        in_full[-1] = 3.0 if len(full) == 0 or full[0] == 1.0 else -3.0
    else:
        in_full = logistic(matrix[refusing], full, strength)
    return Fitted(vocabulary, logistic(matrix, read.refuses[chosen], strength), in_full)


def logistic(matrix: Any, wanted: Floats, strength: float) -> Floats:
    """Return the weights of a logistic regression, the intercept last, which is not penalised."""

    def loss(weights: Floats) -> tuple[float, Floats]:
        margin = matrix @ weights[:-1] + weights[-1]
        error = 1.0 / (1.0 + np.exp(-np.clip(margin, -40.0, 40.0))) - wanted
        value = float(np.logaddexp(0.0, margin).sum() - wanted @ margin)
        slope = np.append(matrix.T @ error + weights[:-1] / strength, error.sum())
        return value + 0.5 * float(weights[:-1] @ weights[:-1]) / strength, slope

    return np.asarray(
        minimize(loss, np.zeros(matrix.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    )


def calibration(scores: Floats, refuses: Floats) -> tuple[float, float]:
    """Return offset and slope of the log odds that fit *scores* on answers which the fit did not see."""
    weights = logistic(csr_matrix(scores[:, None]), refuses, 100.0)
    return float(weights[1]), float(weights[0])


def weights_of(
    fitted: Fitted,
    read: Read,
    rows: Sequence[LabelledAnswer],
    *,
    calibrated: tuple[float, float],
    card: Mapping[str, Any],
) -> RefusalWeights:
    """Return what is written to the data file: tokens that weigh nothing are left out.

    *calibrated* are the offset and the slope of the log odds.
    """
    offset, slope = calibrated
    found = offset + slope * fitted.scores(read, np.arange(len(rows)))[0] > 0.0
    split = len(fitted.vocabulary)
    both = np.round(np.stack((fitted.refuses, fitted.full), axis=1), 4)
    tokens = {
        t: (float(both[c, 0]), float(both[c, 1]))
        for t, c in fitted.vocabulary.items()
        if np.abs(both[c]).max() >= LEAST_WEIGHT
    }
    numbers = {name: (float(a), float(b)) for name, (a, b) in zip(features.DENSE, both[split:-1], strict=True)}
    return RefusalWeights(
        features=features.VERSION,
        tokens=tokens,
        numbers=numbers,
        intercepts=(float(both[-1, 0]), float(both[-1, 1])),
        slope=round(slope, 4),
        offset=round(offset, 4),
        least_weighed=least_weighed(rows, tokens),
        least_uncued=least_uncued(rows, tokens, found),
        unread=UNREAD,
        card=card,
    )


def least_weighed(rows: Sequence[LabelledAnswer], tokens: Mapping[str, tuple[float, float]]) -> int | None:
    """Return what words must weigh for an answer to be read: no refusal that is labelled weighs less.

    None where no refusal does without a phrase of declining, so that nothing tells.
    """
    words = features.word_weights(tokens)
    refusing = [features.look_at(row.answer) for row in rows if row.refuses]
    return min((look.weighed(words) for look in refusing if look.may_refuse and not look.declines), default=None)


def least_uncued(
    rows: Sequence[LabelledAnswer], tokens: Mapping[str, tuple[float, float]], found: NDArray[np.bool_]
) -> int | None:
    """Return what words must weigh for an answer without any cue to be read: the least of a refusal that is *found*.

    None where no such refusal is found: reading would tell nothing.
    """
    words = features.word_weights(tokens)
    looks = [features.look_at(row.answer) for row, finds in zip(rows, found, strict=True) if row.refuses and finds]
    return min((look.weighed(words) for look in looks if not look.may_refuse), default=None)
