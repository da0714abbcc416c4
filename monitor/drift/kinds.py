"""Kinds of prompts: clusters of a window's covariates, and how far the recent mix of them lies from the window's."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from monitor.domain.covariates import LANGUAGES, Covariates
from monitor.drift.design import Columns, Encoder

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MOST_KINDS = 12
ROWS_PER_KIND = 40
TOPICS = 8  # singular directions of the words
TOPIC_ROWS = 10  # of the window with a word that makes a topic: a word of fewer makes a kind that is gone with them
TOPIC_SCALE = 1.5
CATEGORY_SCALE = 0.7
MEMORY = 64  # subjects that the recent mix remembers, as an exponential average
PACE = 2.0 / (MEMORY + 1)  # what the latest one counts in it
NO_GUESS = LANGUAGES.index("")
FOREIGN_SHARE = 0.002  # of the window's rows, which lie so far from every kind that they count as of none
SEED = 7
RESTARTS = 4


@dataclass(frozen=True, slots=True)
class Kinds:
    """K kinds of prompts, by their centres, and the kind of what is like none of them, number K.

    Arrays are float32, little endian.
    """

    names: tuple[str, ...]  # K + 1
    centres: bytes  # (K, d)
    topics: bytes  # (words with a column, t)
    tokens: tuple[float, float]  # mean and spread of log input tokens in the window
    prompt: tuple[float, float]  # the same of log prompt words
    farthest: float  # squared distance from the nearest centre past which a prompt is of no kind

    @property
    def count(self) -> int:
        return len(self.names)

    def of(self, encoder: Encoder, columns: Columns, covariates: Covariates) -> Integers:
        """Return each subject's kind, (n,); a cohort or language the window held few of or none is of no kind."""
        known = np.asarray([name in encoder.cohorts for name in covariates.cohorts], dtype=np.bool_)
        foreign = ~known[covariates.cohort_codes] if len(encoder.cohorts) else np.zeros(len(covariates), np.bool_)
        foreign |= (covariates.languages != NO_GUESS) & ~np.isin(covariates.languages, encoder.languages)
        points = self._points(encoder, columns, covariates)
        centres = np.frombuffer(self.centres, "<f4").astype(np.float64).reshape(self.count - 1, -1)
        # Not by BLAS, whose rounding hangs on the number of rows: a tie must fall alike wherever the log is cut.
        across = np.einsum("nd,kd->nk", points, centres)
        distance = (points**2).sum(axis=1)[:, None] - 2.0 * across + (centres**2).sum(axis=1)
        nearest = np.argmin(distance, axis=1)
        far = distance[np.arange(len(points)), nearest] > self.farthest
        return np.where(foreign | far, self.count - 1, nearest)

    def _points(self, encoder: Encoder, columns: Columns, covariates: Covariates) -> Floats:
        topics = np.frombuffer(self.topics, "<f4").astype(np.float64)
        words = columns.words.shape[1]
        topics = topics.reshape(words, len(topics) // max(words, 1))
        return points_of(encoder, columns, covariates, topics=topics, tokens=self.tokens, prompt=self.prompt)


def points_of(
    encoder: Encoder,
    columns: Columns,
    covariates: Covariates,
    *,
    topics: Floats,
    tokens: tuple[float, float],
    prompt: tuple[float, float],
) -> Floats:
    """Return where each subject lies, (n, d): numbers, categories, topics or embedding, on comparable scales."""
    parts = [
        _standard(np.log1p(covariates.input_tokens), tokens)[:, None],
        _standard(np.log1p(covariates.prompt_words), prompt)[:, None],
    ]
    starts = np.cumsum(
        [0, *(size + 1 for size in (len(encoder.cohorts), len(encoder.languages), len(encoder.contexts)))]
    )
    for feature, (first, stop) in enumerate(pairwise(starts)):
        if stop - first > 2:
            one_hot = np.zeros((len(covariates), stop - first))
            one_hot[np.arange(len(covariates)), columns.dense[:, feature] - first] = CATEGORY_SCALE
            parts.append(one_hot)
    if encoder.embedding_dimensions:
        parts.append(columns.embedding)
    elif topics.shape[1]:
        parts.append(np.asarray(columns.words @ topics) * TOPIC_SCALE)
    return np.concatenate(parts, axis=1)


def find_kinds(encoder: Encoder, columns: Columns, covariates: Covariates) -> tuple[Kinds, Integers] | None:
    """Cluster the window's subjects; return the kinds and each subject's; None where it holds too few."""
    rows = len(covariates)
    count = min(MOST_KINDS, rows // ROWS_PER_KIND)
    if count < 2:
        return None
    topics = _topics(columns.words, rows)
    tokens, prompt = _moments(np.log1p(covariates.input_tokens)), _moments(np.log1p(covariates.prompt_words))
    points = points_of(encoder, columns, covariates, topics=topics, tokens=tokens, prompt=prompt)
    best, codes, least = points[:1], np.zeros(rows, np.int64), np.inf
    count = min(count, len(np.unique(points, axis=0)))
    for restart in range(RESTARTS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a cluster that no row is nearest to; it is left out below
            centres, found = kmeans2(points, count, minit="++", seed=SEED + restart, iter=25, missing="warn")
        error = float(((points - centres[found]) ** 2).sum())
        if error < least:
            best, codes, least = centres, found.astype(np.int64), error
    used = np.unique(codes)
    best, codes = best[used], np.searchsorted(used, codes)
    distance = ((points - best[codes]) ** 2).sum(axis=1)
    kinds = Kinds(
        names=(*(_name(encoder, columns, covariates, codes == code) for code in range(len(best))), "of no known kind"),
        centres=best.astype("<f4").tobytes(),
        topics=topics.astype("<f4").tobytes(),
        tokens=tokens,
        prompt=prompt,
        farthest=float(np.quantile(distance, 1.0 - FOREIGN_SHARE)) * 1.2 + 1e-9,
    )
    return kinds, kinds.of(encoder, columns, covariates)


@dataclass(frozen=True, slots=True)
class Mix:
    """The shares of the kinds among recent subjects: an exponential average over MEMORY of them, (K,)."""

    shares: Floats

    def after(self, kinds: Integers) -> tuple[Floats, Mix]:
        """Return the shares before each of *kinds* (n,), shape (n, K), and the mix after all of them.

        Where the rows are cut into calls does not matter.
        """
        before, after = of_late(np.eye(len(self.shares))[kinds], self.shares)
        return before, Mix(after)


def of_late(rows: Floats, so_far: Floats) -> tuple[Floats, Floats]:
    """Return the recent mean before each of *rows* (n, K), and the one after all of them, (K,).

    An exponential average over MEMORY rows, that stood at *so_far* (K,). Where the rows are cut does not matter.
    """
    if not len(rows):
        return rows, so_far
    from scipy.signal import lfilter  # noqa: PLC0415 - a third of a second, which most commands need not wait

    passed, state = lfilter([PACE], [1.0, PACE - 1.0], rows, axis=0, zi=((1.0 - PACE) * so_far)[None])
    return np.concatenate((so_far[None], passed[:-1])), np.asarray(state[0] / (1.0 - PACE))


def distance(shares: Floats, usual: Floats) -> Floats:
    """Return how far each mix (n, K) lies from the *usual* one (K,): Euclidean, beyond what chance makes."""
    chance = (1.0 - (usual**2).sum()) * PACE / (2.0 - PACE)
    return np.asarray(np.sqrt(np.maximum(((shares - usual) ** 2).sum(axis=1) - chance, 0.0)))


def shares_of(kinds: Integers, count: int) -> Floats:
    """Return the kinds' shares in a window, (count,), none of them zero."""
    seen = np.bincount(kinds, minlength=count).astype(np.float64) + 0.5
    return np.asarray(seen / seen.sum())


def _topics(words: csr_matrix, rows: int) -> Floats:
    frequency = np.asarray((words > 0).sum(axis=0)).ravel()
    rare = np.where(frequency >= TOPIC_ROWS, np.log((1.0 + rows) / (1.0 + frequency)), 0.0)
    size = min(TOPICS, int((rare > 0.0).sum()) - 1, rows - 1)
    if size < 1:
        return np.zeros((words.shape[1], 0))
    scaled = csr_matrix(words.multiply(rare[None]))
    start = np.random.default_rng(SEED).normal(size=min(scaled.shape))
    _, strength, directions = svds(scaled, k=size, v0=start)
    spread = strength / np.sqrt(rows)
    return np.asarray((directions * (1.0 / np.maximum(spread, 1e-9))[:, None]).T * rare[:, None] / np.sqrt(size))


def _moments(values: Floats) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    return (float(known.mean()), float(known.std()) or 1.0) if len(known) else (0.0, 1.0)


def _standard(values: Floats, moments: tuple[float, float]) -> Floats:
    """Standardise; a missing value stands outside of all of them."""
    mean, spread = moments
    return np.nan_to_num(np.clip((values - mean) / spread, -4.0, 4.0), nan=-4.0)


def _name(encoder: Encoder, columns: Columns, covariates: Covariates, chosen: NDArray[np.bool_]) -> str:
    """Say in few words what the *chosen* subjects are like, for people."""
    cohorts, counts = np.unique(covariates.cohort_codes[chosen], return_counts=True)
    parts = []
    if len(encoder.cohorts) > 1 and counts.max() > 0.5 * chosen.sum():
        parts.append(covariates.cohorts[int(cohorts[np.argmax(counts)])])
    languages, counts = np.unique(covariates.languages[chosen], return_counts=True)
    language = LANGUAGES[int(languages[np.argmax(counts)])]
    if language:
        parts.append(language)
    for values, unit in ((covariates.input_tokens, "input tokens"), (covariates.prompt_words, "words")):
        known = values[chosen][~np.isnan(values[chosen])]
        if len(known):
            low, high = np.quantile(known, (0.1, 0.9))
            parts.append(f"{low:.0f} {unit}" if f"{low:.0f}" == f"{high:.0f}" else f"{low:.0f} to {high:.0f} {unit}")
    return ", ".join(parts) or "like the others"
