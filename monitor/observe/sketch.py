"""Prompts as sketches: hashed ids of the words at their two ends, and a guess of the language from the same words.

The hash is the same on every machine. A word's is the CRC-32 of its UTF-8; a pair's is
`(first * 0x9E3779B1 + second) mod 2^32`, shifted and multiplied once so that its low bits depend on
both. An id is the upper 16 bits of a hash, xored with the lower.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from monitor.domain.covariates import LANGUAGES
from monitor.signals.language import CODES, LANGUAGE_RATIO, WEIGHTS, votes_of

EDGE_WORDS = 24  # read at either end
EDGE_CHARACTERS = 240  # in which they are looked for: 24 words, unless they have more than 9 letters on average
WORD_CHARACTERS = 32  # a longer word is several
KNOWN_WORDS = 1 << 16  # remembered with what was found out about them: 15 MB at most
# Thai, Lao, Burmese, Khmer, kana, Chinese: a character is a word, since no space parts them.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# White space, control characters and punctuation part words; all else, accents and emoji too, belongs to one.
_APART = (
    r"\s\x00-/:-@\[-^`{-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7"
    r"\u2000-\u206f\u3000-\u303f\uff00-\uff0f\uff1a-\uff20"
)
_ASCII_WORD = re.compile(rf"[a-z0-9_]{{1,{WORD_CHARACTERS}}}")
_SPACED_WORD = re.compile(rf"[^{_APART}{UNSPACED}]{{1,{WORD_CHARACTERS}}}")
_ANY_WORD = re.compile(rf"[{UNSPACED}]|{_SPACED_WORD.pattern}")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_UNSPACED_RANGES = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF))
_VOTE_BITS = np.arange(len(LANGUAGES) - 1, dtype=np.uint32)
_VOTE_WEIGHTS = np.array([WEIGHTS.get(name, 1.0) for name in LANGUAGES[1:]])


@dataclass(frozen=True, slots=True)
class Sketches:
    ids: NDArray[np.uint16]  # ascending, each once, prompt after prompt
    starts: NDArray[np.int64]  # (n + 1,)
    languages: NDArray[np.uint8]  # into `LANGUAGES`


def sketch_prompts(prompts: Sequence[str | None]) -> Sketches:
    """Return the sketches of *prompts*, at most 94 ids each; None and a text without words have no id."""
    words: list[str] = []
    owners, sizes = [], []
    for number, prompt in enumerate(prompts):
        for edge in edges(prompt) if prompt else ():
            words += edge
            owners.append(number)
            sizes.append(len(edge))
    known = np.fromiter(map(_KNOWN.__getitem__, words), np.uint64, len(words))
    hashes = known.astype(np.uint32)
    owner = np.repeat(np.array(owners, np.int64), sizes)
    edge_of = np.repeat(np.arange(len(sizes)), sizes)
    beside = edge_of[1:] == edge_of[:-1]
    pairs = hashes[:-1][beside] * np.uint32(0x9E3779B1) + hashes[1:][beside]
    pairs = (pairs ^ pairs >> np.uint32(15)) * np.uint32(0x85EBCA77)
    keys = np.concatenate([owner, owner[1:][beside]]) << 16 | fold(np.concatenate([hashes, pairs]))
    keys.sort()
    keys = keys[np.diff(keys, prepend=-1) != 0]
    starts = np.searchsorted(keys, np.arange(len(prompts) + 1) << 16)
    votes = (known >> np.uint64(32)).astype(np.uint32)
    return Sketches((keys & 0xFFFF).astype(np.uint16), starts, guess_languages(votes, owner, len(prompts)))


def guess_languages(votes: NDArray[np.uint32], owner: NDArray[np.int64], prompts: int) -> NDArray[np.uint8]:
    """Return each prompt's language: the one with most of its words' *votes*, 0 where two have as many or too few."""
    voting = votes != 0
    cast, voter = votes[voting], owner[voting]
    counts = np.stack([np.bincount(voter[cast >> bit & np.uint32(1) != 0], minlength=prompts) for bit in _VOTE_BITS], 1)
    weighed = counts * _VOTE_WEIGHTS
    second, first = np.partition(weighed, -2, axis=1)[:, -2:].T
    clear = (first > second) & (first * LANGUAGE_RATIO >= np.bincount(owner, minlength=prompts))
    return np.where(clear, weighed.argmax(axis=1) + 1, CODES[""]).astype(np.uint8)


def edges(text: str) -> tuple[list[str], ...]:
    """Return the first and the last words of *text*, in lower case; one list where they are all there is."""
    if len(text) > 2 * EDGE_CHARACTERS:
        return (
            find_words(text[:EDGE_CHARACTERS])[:EDGE_WORDS],
            find_words(text[-EDGE_CHARACTERS:])[-EDGE_WORDS:],
        )
    words = find_words(text)
    return (words,) if len(words) <= EDGE_WORDS else (words[:EDGE_WORDS], words[-EDGE_WORDS:])


def find_words(text: str) -> list[str]:
    """Return the words of *text* in lower case; a character is one where no space parts them."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return (_ANY_WORD if _UNSPACED.search(text) else _SPACED_WORD).findall(text.lower())


def count_words(text: str) -> int:
    """Return the words of *text*: what white space parts, and each character of a script that has no spaces."""
    spaced = len(text.split())
    if text.isascii() or not _UNSPACED.search(text):
        return spaced
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    return spaced + sum(int(np.count_nonzero((points >= low) & (points <= high))) for low, high in _UNSPACED_RANGES)


def fold(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the 16-bit ids of 32-bit *hashes*."""
    return (hashes ^ hashes >> np.uint32(16)) & np.uint32(0xFFFF)


class KnownWords(dict[str, int]):
    """Each word's hash in the lower 32 bits, and in the upper the languages it speaks for; found out when asked."""

    def __missing__(self, word: str) -> int:
        if len(self) >= KNOWN_WORDS:
            self.clear()
        known = votes_of(word) << 32 | crc32(word.encode("utf-8", "surrogatepass"))
        self[word] = known
        return known


_KNOWN = KnownWords()
