"""Which prompts say nearly the same: MinHash finds who may, the shingles themselves decide."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Shingles = NDArray[np.uint32]  # hashes of runs of words, each once, ascending
SHINGLE_WORDS = 3
LEAST_SIMILARITY = 0.7  # Jaccard, of shingles: a word changed in twenty stays above
BANDS, ROWS = 16, 4  # a pair at the least similarity shares a band with probability .988
COMMON_PROMPTS, COMMON_RATIO = 50, 0.02  # a shingle in more prompts than either is a template's, and no evidence
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")  # scripts without spaces: a character is a word
_PRIME = np.uint64(2**31 - 1)
_NONE = np.empty(0, dtype=np.uint32)
_GENERATOR = np.random.default_rng(20_261_125)
_FACTORS = _GENERATOR.integers(1, _PRIME, size=(BANDS * ROWS, 1), dtype=np.uint64)
_SHIFTS = _GENERATOR.integers(0, _PRIME, size=(BANDS * ROWS, 1), dtype=np.uint64)


def normalise(prompt: str) -> str:
    """Return the words alone, in lower case."""
    return " ".join(_WORD.findall(prompt.casefold()))


def near_duplicates(prompts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield pairs of numbers, the lower one first, of prompts that say nearly the same.

    Each prompt is held against the first one of every band it shares, so the pairs say who
    belongs together through others, and are few. Prompts of fewer words than a shingle, or
    of a template's words alone, are held against nothing; equal ones are the caller's to find.
    """
    shingles = [_shingles(prompt) for prompt in prompts]
    found, prompts_with = np.unique(np.concatenate([*shingles, _NONE]), return_counts=True)
    common = found[prompts_with > max(COMMON_PROMPTS, COMMON_RATIO * len(prompts))]
    own = [np.setdiff1d(of_prompt, common, assume_unique=True) for of_prompt in shingles]
    buckets: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
    for number, of_prompt in enumerate(own):
        if len(of_prompt):
            for band, key in enumerate(_bands(of_prompt)):
                buckets[band, key].append(number)
    tied: set[tuple[int, int]] = set()
    for first, *others in buckets.values():
        for other in others:
            if (first, other) not in tied and _similarity(own[first], own[other]) >= LEAST_SIMILARITY:
                tied.add((first, other))
                yield first, other


def _shingles(prompt: str) -> Shingles:
    words = normalise(prompt).split()
    starts = range(len(words) - SHINGLE_WORDS + 1)
    hashes = (crc32(" ".join(words[start : start + SHINGLE_WORDS]).encode()) for start in starts)
    return np.unique(np.fromiter(hashes, dtype=np.uint32, count=len(starts)))


def _bands(shingles: Shingles) -> list[bytes]:
    least = ((_FACTORS * (shingles.astype(np.uint64) % _PRIME) + _SHIFTS) % _PRIME).min(axis=1)
    return [band.tobytes() for band in least.reshape(BANDS, ROWS)]


def _similarity(one: Shingles, other: Shingles) -> float:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)
