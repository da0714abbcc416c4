"""Prompts of a few kinds, as the log keeps them: columns that a signal follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from monitor.domain.covariates import Covariates
from monitor.domain.observation import SubjectWindow

Floats = NDArray[np.float64]
KINDS = ("hello", "poem", "essay", "code")
SHARES = (0.4, 0.3, 0.2, 0.1)
LOG_LENGTH = dict(zip(KINDS, (3.5, 4.5, 5.5, 6.0), strict=True))  # of the answers
LOG_TOKENS = dict(zip(KINDS, (2.5, 3.0, 4.5, 6.0), strict=True))  # of the prompts
WORDS = {kind: np.arange(100 * number, 100 * number + 30, dtype=np.uint16) for number, kind in enumerate(KINDS)}
START = int(datetime(2025, 3, 1, tzinfo=UTC).timestamp() * 1e6)
MINUTE = 60_000_000


@dataclass(frozen=True)
class Asking:
    """Prompts in order: what each is of, and what the log knows of it."""

    kinds: tuple[str, ...]
    cohorts: tuple[str, ...]
    covariates: Covariates
    timestamps: NDArray[np.int64]

    def log_length(self) -> Floats:
        """Return the mean logarithm of the answers' length, which the kind of prompt sets."""
        return np.array([LOG_LENGTH[kind] for kind in self.kinds])

    def __len__(self) -> int:
        return len(self.kinds)


def asking(
    count: int,
    *,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    cohorts: Sequence[str] = ("a", "b"),
    first: int = 0,
    embedding_dimensions: int = 0,
) -> Asking:
    """Return *count* prompts whose kinds have these *shares*; the cohort says nothing of the kind."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(len(KINDS), count, p=np.asarray(shares) / sum(shares))
    kinds = tuple(KINDS[code] for code in codes)
    names = tuple(sorted(set(cohorts)))
    cohort_codes = rng.integers(0, len(cohorts), count)
    named = tuple(cohorts[code] for code in cohort_codes)
    tokens = np.round(np.exp([LOG_TOKENS[kind] for kind in kinds] + rng.normal(0, 0.2, count)))
    sketches = [np.sort(rng.choice(WORDS[kind], 8, replace=False)) for kind in kinds]
    embedding = rng.normal(codes[:, None], 0.1, (count, embedding_dimensions)) if embedding_dimensions else None
    covariates = Covariates(
        sketch=np.concatenate([np.empty(0, np.uint16), *sketches]),
        sketch_starts=np.arange(count + 1, dtype=np.int64) * 8,
        input_tokens=tokens.astype(np.float64),
        prompt_words=np.maximum(np.round(tokens * 0.7), 1.0),
        turns=np.ones(count, np.int64),
        contexts=np.zeros(count, np.uint16),
        languages=np.ones(count, np.uint8),
        cohorts=names,
        cohort_codes=np.array([names.index(name) for name in named], np.int32),
        observed=np.ones(count, np.bool_),
        embedding=None if embedding is None else embedding.astype(np.float16),
        embedder=None if embedding is None else "e-1",
    )
    return Asking(kinds, named, covariates, START + (first + np.arange(count, dtype=np.int64)) * MINUTE)


def subjects_of(asked: Asking, *, first: int = 0) -> SubjectWindow:
    return SubjectWindow(np.arange(first, first + len(asked)), asked.timestamps, asked.covariates)
