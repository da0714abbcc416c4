"""The language of an answer, and the patterns by which answers refuse in languages other than English."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

from monitor.domain.covariates import LANGUAGES
from monitor.signals.language import CODES, WEIGHTS, votes_of
from monitor.signals.refusal.text import fold

ENGLISH = "en"
UNKNOWN = "und"  # as ISO 639 writes it
PATTERNS = "languages-1"  # raise it with every change of a file in languages/
FOLDER = Path(__file__).parent / "languages"
COVERED = frozenset((ENGLISH, *(path.stem for path in FOLDER.glob("*.toml"))))

_READ_CHARACTERS = 400  # for the language
_READ_WORDS = 40
_FEW_WORDS = 12  # with so few and none that tells, an answer is a name, a number or code: it has no language
_ENGLISH_SHARE = 0.15
_ENGLISH_BIT = 1 << (CODES[ENGLISH] - 1)
_PLAIN_ENGLISH = (" the ", " and ", " to ", " of ", " is ", " you ", " for ", " it ", " that ", " with ", "i'm ", " can't ")
_PLAIN_WORDS = 3
_OPENING = 300  # characters of an answer in which it refuses
_WORD = re.compile(r"[^\W\d_]+")
_THOUGHT = re.compile(r"\A\s*<think>.*?(?:</think>|\Z)", re.DOTALL)


def answer_language(response: str) -> str:
    """Return the language of *response* as ISO 639 writes it, English where nothing tells; `UNKNOWN` at a loss."""
    text = (_THOUGHT.sub("", response) if "<think>" in response[:50] else response)[:_READ_CHARACTERS].lower()
    if text.isascii() and sum([word in text for word in _PLAIN_ENGLISH]) >= _PLAIN_WORDS:
        return ENGLISH  # a fifth of the cost of looking at each word
    words = _WORD.findall(text)[:_READ_WORDS]
    votes = [votes_of(word) for word in words]
    english = sum([vote & _ENGLISH_BIT != 0 for vote in votes])
    if english >= max(_ENGLISH_SHARE * len(words), 1):
        return ENGLISH
    tally: Counter[str] = Counter()
    for vote in votes:
        while vote:
            code = (vote & -vote).bit_length()
            tally[LANGUAGES[code]] += WEIGHTS.get(LANGUAGES[code], 1.0)  # type: ignore[assignment]
            vote &= vote - 1
    if not tally:
        return ENGLISH if len(words) < _FEW_WORDS and text.isascii() else UNKNOWN
    return max(tally, key=lambda language: (tally[language], language == ENGLISH))


def refuses_in(language: str, response: str) -> bool | None:
    """Say whether *response* refuses by the patterns of *language*; None where there are none for it."""
    patterns = _patterns(language)
    if patterns is None:
        return None
    opening = fold(_THOUGHT.sub("", response).lstrip(" \t\r\n*_#>-~")[:_OPENING])
    refuses, unless = patterns
    found = refuses.search(opening)
    return found is not None and (unless is None or unless.search(opening) is None)


@cache
def _patterns(language: str) -> tuple[re.Pattern[str], re.Pattern[str] | None] | None:
    if language == ENGLISH or language not in COVERED:
        return None
    kept = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    return re.compile("|".join(kept["refuses"])), re.compile("|".join(kept["unless"])) if kept["unless"] else None
