"""The learned refusal model begun from weights that are there: a few labels of one's own correct what they say.

Both regressions keep what the former weights know, and pay for each step away from them. So some dozen labels change
what they speak of, and nothing else; a fit from nothing would forget the rest. They pay as well for each answer of an
anchor that they read otherwise than the former weights do, so that labels of one kind alone do not carry all answers
along.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, vstack

from monitor.signals.refusal import features
from monitor.signals.refusal.weights import RefusalWeights
from retrain.refusal_anchor import authored
from retrain.refusal_fit import LEAST_ANSWERS, LEAST_WEIGHT, STEPS, Chosen, Floats, Read, least_uncued, least_weighed
from retrain.refusal_rows import LabelledAnswer

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
ANCHOR_WEIGHT = 3.0  # of an answer of the anchor, beside that of a label: `tests.benchmarks.refusal_anchor`


@dataclass(frozen=True, slots=True)
class Moved:
    """How far the weights moved from the former ones: of the vocabulary, the numbers, and the intercept last."""

    refuses: Floats
    full: Floats


class _Fit(NamedTuple):
    """What a regression is fitted to, a row an answer."""

    matrix: csr_matrix
    wanted: Floats  # 0 to 1
    former: Floats  # log odds by the former weights
    weights: Floats  # of the answers


@dataclass(frozen=True)
class Former:
    """The former weights beside labelled answers: what they say of each, and the columns that may move."""

    weights: RefusalWeights
    read: Read
    anchor: Read | None = None  # answers of which the new weights should say what the former ones say
    anchor_weight: float = ANCHOR_WEIGHT

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Return the columns: tokens that the former weights know, and those that enough of the answers hold.

        One model's words are enough here: it is that model which is to be read.
        """
        held = Counter(token for own in self.read.tokens for token in own)
        new = {token for token, answers in held.items() if answers >= LEAST_ANSWERS}
        return {token: column for column, token in enumerate(sorted(new | self.weights.tokens.keys()))}

    @cached_property
    def known(self) -> Floats:
        """Return the former weights on them: of refusing, calibrated, and of doing so in full, (columns, 2)."""
        weights, nothing = self.weights, (0.0, 0.0)
        rows = [weights.tokens.get(token, nothing) for token in self.vocabulary]
        rows += [weights.numbers[name] for name in features.DENSE]
        both = np.array([*rows, weights.intercepts])
        both[:, 0] *= weights.slope
        both[-1, 0] += weights.offset
        return both

    @cached_property
    def matrix(self) -> csr_matrix:
        return self.read.matrix(np.arange(len(self.read.tokens)), self.vocabulary)

    @cached_property
    def scores(self) -> Floats:
        """Return the log odds that the former weights give each answer, of refusing and of doing so in full, (n, 2)."""
        return np.asarray(self.matrix @ self.known[:-1] + self.known[-1])

    @cached_property
    def anchored(self) -> tuple[_Fit, ...]:
        """Return what the anchor asks of the two regressions: of refusing, and, where an answer does, in full."""
        if self.anchor is None:
            return ()
        everything = np.arange(len(self.anchor.tokens))
        matrix = self.anchor.matrix(everything, self.vocabulary)
        scores = np.asarray(matrix @ self.known[:-1] + self.known[-1])
        asked = everything, np.flatnonzero(self.anchor.refuses == 1.0)
        return tuple(
            _Fit(
                matrix[rows],
                _expit(scores[rows, column]),
                scores[rows, column],
                np.full(len(rows), self.anchor_weight),
            )
            for column, rows in enumerate(asked)
        )

    def move(self, chosen: Chosen, strength: float) -> Moved:
        """Fit the *chosen* answers; *strength* is the inverse of the penalty on what moves."""
        refusing = chosen[self.read.refuses[chosen] == 1.0]
        given = (chosen, self.read.refuses), (refusing, self.read.full)
        steps = []
        for column, (rows, wanted) in enumerate(given):
            own = _Fit(self.matrix[rows], wanted[rows], self.scores[rows, column], np.ones(len(rows)))
            steps.append(_moved(own, self.anchored[column] if self.anchored else None, strength))
        return Moved(*steps)

    def refusing(self, moved: Moved, chosen: Chosen) -> Floats:
        """Return the log odds that the *chosen* answers refuse."""
        return np.asarray(self.scores[chosen, 0] + self.matrix[chosen] @ moved.refuses[:-1] + moved.refuses[-1])


def _moved(own: _Fit, anchor: _Fit | None, strength: float) -> Floats:
    """Return how far each weight moves: those that no answer of *own* holds stay where they are."""
    columns = np.flatnonzero(own.matrix.getnnz(axis=0))
    both = own if anchor is None else _Fit(vstack((own.matrix, anchor.matrix), format="csr"), *_joined(own, anchor))
    matrix = both.matrix[:, columns]

    def loss(step: Floats) -> tuple[float, Floats]:
        margin = both.former + matrix @ step[:-1] + step[-1]
        error = both.weights * (_expit(margin) - both.wanted)
        lost = float(both.weights @ (np.logaddexp(0.0, margin) - both.wanted * margin))
        return lost + 0.5 * float(step @ step) / strength, np.append(matrix.T @ error, error.sum()) + step / strength

    found = minimize(loss, np.zeros(len(columns) + 1), jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    moved = np.zeros(own.matrix.shape[1] + 1)
    moved[columns], moved[-1] = found[:-1], found[-1]
    return moved


def _joined(own: _Fit, anchor: _Fit) -> tuple[Floats, Floats, Floats]:
    return (
        np.append(own.wanted, anchor.wanted),
        np.append(own.former, anchor.former),
        np.append(own.weights, anchor.weights),
    )


def _expit(scores: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(scores, -40.0, 40.0))))


@dataclass(frozen=True, slots=True)
class Choice:
    """The strength that loses least on answers whose group was left out, and what the fits without them say."""

    strength: float
    scores: Floats  # log odds of refusing


def choose(former: Former, groups: NDArray[np.str_], loss: Callable[[Floats], float]) -> Choice:
    """Return the best of `STRENGTHS` by *loss* of left-out scores; answers of the group "" are never left out."""
    found = []
    for strength in STRENGTHS:
        scores = former.scores[:, 0].copy()
        for group in sorted(set(groups.tolist()) - {""}):
            inside, outside = np.flatnonzero(groups == group), np.flatnonzero(groups != group)
            scores[inside] = former.refusing(former.move(outside, strength), inside)
        found.append(Choice(strength, scores))
    return min(found, key=lambda choice: loss(choice.scores))


def refreshed(former: Former, moved: Moved, rows: Sequence[LabelledAnswer], card: dict[str, object]) -> RefusalWeights:
    """Return the former weights as *moved*; they are calibrated as they stand."""
    both = np.round(former.known + np.stack((moved.refuses, moved.full), axis=1), 4)
    split = len(former.vocabulary)
    tokens = {
        token: (float(both[column, 0]), float(both[column, 1]))
        for token, column in former.vocabulary.items()
        if np.abs(both[column]).max() >= LEAST_WEIGHT
    }
    found = former.refusing(moved, np.arange(len(rows))) > 0.0
    return msgspec.structs.replace(
        former.weights,
        tokens=tokens,
        numbers={name: (float(a), float(b)) for name, (a, b) in zip(features.DENSE, both[split:-1], strict=True)},
        intercepts=(float(both[-1, 0]), float(both[-1, 1])),
        slope=1.0,
        offset=0.0,
        least_weighed=least_weighed([*rows, *authored()], tokens),
        least_uncued=_least(former.weights.least_uncued, least_uncued(rows, tokens, found)),
        card=card,
    )


def _least(*known: int | None) -> int | None:
    return min((one for one in known if one is not None), default=None)
