"""What is wrong with an answer by its form alone: nothing in it, broken off, a marker left open, a loop.

References
----------
Welleck et al., "Neural text generation with unlikelihood training", ICLR 2020: the share of repeated n-grams.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from monitor.runs.evidence import CUT, EMPTY, FENCE, LIST, LOOP, MARKER

LOOP_TIMES = 3  # in direct succession
LOOP_WORDS = 16  # that the succession takes at least
LONGEST_PERIOD = 120  # words
REPEATED_GRAMS = 0.5  # share of runs of four words that stood before, without a succession
GRAM = 4
GRAM_WORDS = 50  # in an answer of fewer words a repeated line is none
MOST_WORDS = 6_000  # of an answer that are read

# A sign of a script without spaces is a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\W\d_]+|\d+")
_COUNTED = re.compile(r"^[ \t]*\(?\d{1,4}[.):]", re.MULTILINE)  # a list that says the same again and again counts on
_FENCE = re.compile(r"^[ \t>]*(?:`{3,}|~{3,})", re.MULTILINE)
_MARKER = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:pad|eos|bos|unk)>"
    r"|^\s*(?:#{2,3} ?(?:Human|User|Assistant|Instruction|Response)|Human|Assistant|USER|ASSISTANT):",
    re.MULTILINE,
)
_OPEN_LIST = re.compile(r"\n[ \t]*(?:[-*+\u2022]|\(?\d{1,3}[.)]|[a-zA-Z][.)])[ \t]*\Z")


def flags_of(text: str, *, cut: bool) -> tuple[str, ...]:
    """Return the `FLAGS` of an answer; *cut* says that it did not end within the limit."""
    found = {
        EMPTY: not text.strip(),
        CUT: cut,
        FENCE: len(_FENCE.findall(text)) % 2 == 1,
        MARKER: _MARKER.search(_without_code(text)) is not None,
        LIST: _OPEN_LIST.search(text.rstrip("\n")) is not None,
        LOOP: is_looping(text),
    }
    return tuple(name for name, present in found.items() if present)


def _without_code(text: str) -> str:
    """Return what is not code: an answer may explain chat templates."""
    return re.sub(r"```.*?```|`[^`\n]*`", " ", text, flags=re.DOTALL)


def is_looping(text: str) -> bool:
    """Say whether *text* goes round in circles.

    Either some words stand `LOOP_TIMES` times or more in direct succession and take `LOOP_WORDS` words or more
    together, punctuation and the numbers of lists aside; or more than `REPEATED_GRAMS` of its runs of four words stood
    before.
    """
    words = [word.lower() for word in _WORD.findall(_COUNTED.sub(" ", text))][:MOST_WORDS]
    if len(words) < LOOP_WORDS:
        return False
    codes: NDArray[np.int64] = np.unique(np.asarray(words, dtype=np.str_), return_inverse=True)[1].astype(np.int64)
    for period in range(1, min(LONGEST_PERIOD, len(codes) // LOOP_TIMES) + 1):
        wanted = max(LOOP_WORDS, LOOP_TIMES * period) - period
        if _longest_run(codes[period:] == codes[:-period]) >= wanted:
            return True
    if len(codes) < GRAM_WORDS:
        return False
    grams = np.lib.stride_tricks.sliding_window_view(codes, GRAM)
    return 1.0 - len(np.unique(grams, axis=0)) / len(grams) > REPEATED_GRAMS


def _longest_run(same: NDArray[np.bool_]) -> int:
    ends = np.flatnonzero(~np.concatenate([[False], same, [False]]))
    return int(np.diff(ends).max()) - 1
