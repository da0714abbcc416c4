"""The language of an answer, and the patterns by which answers refuse in languages other than English."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from monitor.signals.language_model import guess_language
from monitor.signals.reading import ENGLISH, without_thought, written_in
from monitor.signals.refusal.text import fold

PATTERNS = "languages-1"  # raise it with every change of a file in languages/
FOLDER = Path(__file__).parent / "languages"
COVERED = frozenset((ENGLISH, *(path.stem for path in FOLDER.glob("*.toml"))))

_FEW_WORDS = 12  # with so few and none that tells, an answer is a name, a number or code: it has no language
_OPENING = 300  # characters of an answer in which it refuses
_WORD = re.compile(r"[^\W\d_]+")


def answer_language(response: str) -> str:
    """Return the language of *response* as ISO 639 writes it, English where nothing could tell; `und` at a loss."""
    text = without_thought(response)
    found = written_in(text)
    if found:
        return found
    opening = text[:_OPENING]
    if opening.isascii() and len(_WORD.findall(opening)) < _FEW_WORDS:
        return ENGLISH
    return guess_language(text)


def refuses_in(language: str, response: str) -> bool:
    """Say whether *response* refuses by the patterns of *language*, one of `COVERED` but English."""
    refuses, unless = _patterns(language)
    opening = fold(without_thought(response).lstrip(" \t\r\n*_#>-~")[:_OPENING])
    found = refuses.search(opening)
    return found is not None and (unless is None or unless.search(opening) is None)


@cache
def _patterns(language: str) -> tuple[re.Pattern[str], re.Pattern[str] | None]:
    kept = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    return re.compile("|".join(kept["refuses"])), re.compile("|".join(kept["unless"])) if kept["unless"] else None
