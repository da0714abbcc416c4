"""What signals read of an answer: without its thoughts, and as English where they look for English words."""

from __future__ import annotations

from functools import lru_cache

from monitor.domain.trace import Trace
from monitor.signals.language import language_of

ENGLISH = "en"
OPENING_CHARACTERS = 300  # where an answer speaks to its user; a letter or a story that it writes comes after
READ_CHARACTERS = 8_000  # of a longer answer: what its words are like is clear by then
LANGUAGE_CHARACTERS = 600  # that tell the language
LEAST_WORDS = 20  # in which a rate per 100 words says anything
_ANSWERS = 2_048  # remembered, since several signals of a batch ask for the same; a batch has 1,000, unless it is told
_OPENINGS = 8_192  # the same, of prompts too


def answer_of(trace: Trace) -> str | None:
    """Return the whole answer without its thoughts; None where there is no text, or not all of it came here."""
    text = trace.whole_response
    if text is None or text.isspace() or not text:
        return None
    return without_thought(text)


def without_thought(text: str) -> str:
    """Return what follows the thoughts that a reasoning model's server left in the text."""
    if not text.startswith("<think>"):
        return text
    _, ended, answer = text.partition("</think>")
    return answer.lstrip() if ended else ""


def english_of(trace: Trace) -> str | None:
    """Return the beginning of an English answer in lower case, with plain apostrophes; None of any other answer."""
    text = answer_of(trace)
    return None if text is None else _english(text[:READ_CHARACTERS])


def english_opening(trace: Trace) -> str | None:
    """Return how an English answer opens, as `english_of` does; what was cut after the opening changes nothing."""
    text = without_thought(trace.response or "").lstrip()
    if not text or (trace.truncated and len(text) < LANGUAGE_CHARACTERS) or written_in(text) != ENGLISH:
        return None
    return _folded(text[:OPENING_CHARACTERS])


def written_in(text: str) -> str:
    """Return the language of *text* by its beginning, "" where nothing tells; the same text always has the same."""
    return _language(text[:LANGUAGE_CHARACTERS])


def count_spaced(text: str) -> int:
    """Return about how many words *text* has: one more than the white space between them."""
    return text.count(" ") + text.count("\n") + 1


def per_100_words(found: int, text: str) -> float | None:
    """Return how often something was found in 100 words of *text*; None in a text too short to tell."""
    words = count_spaced(text)
    return 100.0 * found / words if words >= LEAST_WORDS else None


def _folded(text: str) -> str:
    lower = text.lower()
    return lower if lower.isascii() else lower.replace("\u2019", "'").replace("\u00a0", " ")


@lru_cache(_ANSWERS)
def _english(text: str) -> str | None:
    return _folded(text) if written_in(text) == ENGLISH else None


@lru_cache(_OPENINGS)
def _language(opening: str) -> str:
    return language_of(opening)
