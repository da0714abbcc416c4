"""A cheap opinion of real answers: a linear Bradley-Terry model of their words and lengths, fitted on other rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from scipy.sparse.linalg import lsqr

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
COLUMNS = 4096
WORD = re.compile(r"\w+|[^\w\s]")
DAMP = 1.5  # of the ridge; features are of unit length
LENGTH_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Pairs:
    """Features of answers less those of the answers they are compared with; n rows."""

    words: csr_matrix  # TF-IDF, hashed
    lengths: Floats  # tanh of the log ratio of words

    @classmethod
    def of(cls, answers: Sequence[str], references: Sequence[str]) -> Pairs:
        first, second = ([Counter(WORD.findall(text.lower())) for text in texts] for texts in (answers, references))
        sizes = [np.array([1 + sum(counts.values()) for counts in side]) for side in (first, second)]
        documents = _hashed([*first, *second])
        frequency = np.asarray((documents > 0).sum(axis=0)).ravel()
        weighted = documents.multiply(np.log((1.0 + documents.shape[0]) / (1.0 + frequency))).tocsr()
        norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        scaled = weighted.multiply(1.0 / np.maximum(norms, 1e-9)[:, None]).tocsr()
        return cls(scaled[: len(first)] - scaled[len(first) :], np.tanh(np.log(sizes[0] / sizes[1])))

    def columns(self, words: bool) -> csr_matrix:
        lengths = csr_matrix(LENGTH_WEIGHT * self.lengths[:, None])
        return hstack([self.words, lengths]).tocsr() if words else lengths


def opinions(features: csr_matrix, verdicts: Floats, *, fit_on: Sequence[Rows], asked: Sequence[Rows]) -> Floats:
    """Return what a ridge regression of verdicts on *features* says, (n,): of `asked[k]`, as fitted on `fit_on[k]`."""
    said = np.full(len(verdicts), np.nan)
    for known, rows in zip(fit_on, asked, strict=True):
        weights = lsqr(features[known], verdicts[known] - 0.5, damp=DAMP, iter_lim=60)[0]
        said[rows] = np.clip(0.5 + features[rows] @ weights, 0.0, 1.0)
    return said


def _hashed(documents: Sequence[Counter[str]]) -> csr_matrix:
    columns = {word: crc32(word.encode()) % COLUMNS for counts in documents for word in counts}
    rows = np.repeat(np.arange(len(documents)), [len(counts) for counts in documents])
    places = [columns[word] for counts in documents for word in counts]
    values = 1.0 + np.log([count for counts in documents for count in counts.values()])
    return csr_matrix((values, (rows, places)), shape=(len(documents), COLUMNS))
