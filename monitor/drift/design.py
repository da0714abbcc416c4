"""The columns of a regression on covariates: bins, categories, words of the prompt, embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from monitor.domain.covariates import Covariates

Floats = NDArray[np.float64]
LEVELS = (4, 16, 64, 256)  # bins of a number, by its quantiles: coarse ones are shared by many rows, fine ones by few
ROWS_PER_BIN = 6  # of the window, at least, on average
LEAST_ROWS = 20  # of the window with a category that has a column of its own
MAX_CATEGORIES = 100
MAX_WORDS = 16_384  # ids of the sketch that have a column, the most frequent
LEAST_SEEN = 2  # rows of the window with an id that has a column: one alone says nothing of the others
WORDS_SCALE = 4.0  # of a prompt's whole sketch; it sets the penalty of a single word
EMBEDDING_SCALE = 3.0
LEAST_EMBEDDED = 0.9  # of the window's rows have an embedding, or it is not used: its absence would be the rest's kind
SHORTEST_FOR_HOURS = timedelta(days=2)  # a window that holds no two days cannot tell an hour from a trend


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of a design: `dense` (n, F) column numbers below `width`, words (n, W) and embedding (n, E)."""

    dense: NDArray[np.int64]
    width: int
    words: csr_matrix
    embedding: Floats

    def matrix(self, features: Sequence[int], *, words: bool, embedding: bool) -> csr_matrix:
        """Return the sparse design of the chosen dense *features*, with the same columns whatever is chosen."""
        rows = len(self.dense)
        chosen = self.dense[:, list(features)] if features else np.empty((rows, 0), np.int64)
        starts = np.arange(rows + 1) * chosen.shape[1]
        dense = csr_matrix((np.ones(chosen.size), chosen.ravel(), starts), shape=(rows, self.width))
        parts = [dense]
        if words:
            parts.append(self.words)
        if embedding:
            parts.append(csr_matrix(self.embedding))
        return hstack(parts).tocsr()

    def rows(self, chosen: NDArray[np.int64]) -> Columns:
        return Columns(self.dense[chosen], self.width, self.words[chosen], self.embedding[chosen])


@dataclass(frozen=True, slots=True)
class Encoder:
    """How covariates become columns, frozen from a window.

    Numbers are binned at the window's quantiles, at several levels; a number or a category that the
    window did not hold has the column of the unknown.
    """

    input_tokens: tuple[tuple[float, ...], ...]  # edges of each level
    prompt_words: tuple[tuple[float, ...], ...]
    turns: tuple[tuple[float, ...], ...]
    cohorts: tuple[str, ...]
    languages: tuple[int, ...]
    contexts: tuple[int, ...]
    hours: bool
    words: tuple[int, ...]  # ids of the sketch, ascending
    embedder: str | None
    embedding_centre: tuple[float, ...]  # the window's mean; () where it holds too few embeddings
    embedding_scale: float

    @classmethod
    def of(cls, covariates: Covariates, timestamps: NDArray[np.int64]) -> Encoder:
        """Freeze what the window's subjects, in their order, have."""
        seen = np.bincount(covariates.sketch, minlength=2**16)
        frequent = np.argsort(-seen, kind="stable")[:MAX_WORDS]
        rows = covariates.embedding if covariates.embedding is not None else np.empty((0, 0))
        found = rows[np.isfinite(rows).all(axis=1)].astype(np.float64)
        embedded = found.size > 0 and len(found) >= LEAST_EMBEDDED * len(covariates)
        norm = float(np.sqrt((found**2).sum(axis=1).mean())) if embedded else 0.0
        return cls(
            input_tokens=_edges(covariates.input_tokens),
            prompt_words=_edges(covariates.prompt_words),
            turns=_edges(np.where(covariates.turns > 0, covariates.turns.astype(np.float64), np.nan)),
            cohorts=tuple(covariates.cohorts[code] for code in _frequent(covariates.cohort_codes)),
            languages=_frequent(covariates.languages),
            contexts=_frequent(covariates.contexts),
            hours=span_of(timestamps) >= SHORTEST_FOR_HOURS,
            words=tuple(int(id_) for id_ in np.sort(frequent[seen[frequent] >= LEAST_SEEN])),
            embedder=covariates.embedder if embedded else None,
            embedding_centre=tuple(found.mean(axis=0).tolist()) if embedded else (),
            embedding_scale=EMBEDDING_SCALE / (norm or 1.0),
        )

    @property
    def embedding_dimensions(self) -> int:
        return len(self.embedding_centre)

    def read(self, covariates: Covariates) -> NDArray[np.bool_]:
        """Say which subjects can be compared with the window's: an embedder that is away says nothing of a prompt."""
        if not self.embedding_dimensions:
            return np.ones(len(covariates), np.bool_)
        rows = covariates.embedding
        if rows is None or covariates.embedder != self.embedder or rows.shape[1] != self.embedding_dimensions:
            return np.zeros(len(covariates), np.bool_)
        return np.asarray(np.isfinite(rows).all(axis=1))

    @property
    def features(self) -> dict[str, tuple[int, ...]]:
        """Return the numbers of each covariate's dense features, by the covariate's name."""
        found, at = {}, 0
        for name, levels in (
            ("cohort", 1), ("language", 1), ("context", 1), ("hour", 1),
            ("input_tokens", len(self.input_tokens)), ("prompt_words", len(self.prompt_words)),
            ("turns", len(self.turns)),
        ):  # fmt: skip
            found[name] = tuple(range(at, at + levels))
            at += levels
        return found

    def columns(self, covariates: Covariates, timestamps: NDArray[np.int64]) -> Columns:
        """Return the columns of *covariates*, a row a subject."""
        known = {name: number for number, name in enumerate(self.cohorts)}
        cohort_of = np.array([known.get(name, -1) for name in covariates.cohorts], dtype=np.int64)
        hour = timestamps // 3_600_000_000 % 24 if self.hours else np.full(len(covariates), -1)
        turns = np.where(covariates.turns > 0, covariates.turns.astype(np.float64), np.nan)
        numbers = [
            (cohort_of[covariates.cohort_codes], len(self.cohorts)),
            (_place_in(self.languages, covariates.languages), len(self.languages)),
            (_place_in(self.contexts, covariates.contexts), len(self.contexts)),
            (hour, 24),
        ]
        for levels, values in (
            (self.input_tokens, covariates.input_tokens),
            (self.prompt_words, covariates.prompt_words),
            (self.turns, turns),
        ):
            missing = np.isnan(values)
            numbers += [
                (np.where(missing, -1, np.searchsorted(edges, values, side="right")), len(edges) + 1)
                for edges in levels
            ]
        starts = np.cumsum([0, *(size + 1 for _, size in numbers)])
        dense = np.stack([code + 1 + start for (code, _), start in zip(numbers, starts[:-1], strict=True)], axis=1)
        return Columns(
            dense=dense, width=int(starts[-1]), words=self._words(covariates), embedding=self._embedding(covariates)
        )

    def _words(self, covariates: Covariates) -> csr_matrix:
        """Return each prompt's words with a column, all of a prompt's words together of the same length."""
        column = np.full(2**16, -1, dtype=np.int32)
        column[list(self.words)] = np.arange(len(self.words))
        found = column[covariates.sketch]
        kept = found >= 0
        sizes = np.diff(covariates.sketch_starts)
        values = np.repeat(WORDS_SCALE / np.sqrt(np.maximum(sizes, 1)), sizes)
        counts = np.concatenate([[0], np.cumsum(kept)])[covariates.sketch_starts]
        return csr_matrix((values[kept], found[kept], counts), shape=(len(covariates), len(self.words)))

    def _embedding(self, covariates: Covariates) -> Floats:
        """Return the embedding's columns; the window's mean where it is another's than the window's, or missing."""
        columns, known = np.zeros((len(covariates), self.embedding_dimensions)), self.read(covariates)
        if self.embedding_dimensions and covariates.embedding is not None:
            rows = covariates.embedding[known].astype(np.float64)
            columns[known] = (rows - np.asarray(self.embedding_centre)) * self.embedding_scale
        return columns


def span_of(timestamps: NDArray[np.int64]) -> timedelta:
    """Return how long a window of *timestamps* (n,), in microseconds, lasted; 0 for none.

    It is told by the middle nine tenths: a single clock that stands at 1970 would make any window fifty years long.
    """
    if not len(timestamps):
        return timedelta(0)
    first, last = np.quantile(timestamps, (0.05, 0.95))
    return timedelta(microseconds=float(last - first) / 0.9)


def _edges(values: Floats) -> tuple[tuple[float, ...], ...]:
    """Return the inner edges of the bins of each level that the window can fill; () where it holds no values."""
    known = values[~np.isnan(values)]
    found: list[tuple[float, ...]] = []
    for bins in LEVELS:
        if len(known) < bins * ROWS_PER_BIN:
            break
        edges = np.unique(np.quantile(known, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
        if not found or len(edges) > len(found[-1]):
            found.append(tuple(float(edge) for edge in edges))
    return tuple(found)


def _frequent(codes: NDArray[np.integer]) -> tuple[int, ...]:
    names, counts = np.unique(codes, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
    return tuple(sorted(int(names[number]) for number in most if counts[number] >= LEAST_ROWS))


def _place_in(known: tuple[int, ...], codes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return each code's place in *known*, which is ascending; -1 where it is not there."""
    if not known:
        return np.full(len(codes), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.where(np.asarray(known)[place] == codes, place, -1)
