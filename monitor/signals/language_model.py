"""The language of a text by a model of n-grams: slower than common words, and right where those tell nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

UNDETERMINED = "und"  # too short, or not sure; ISO 639's own word
READ_CHARACTERS = 600  # from the beginning: more text makes no guess better, and costs
# Of 200 short prompts in 20 languages, 92% are right at this confidence, 2.5% wrong and the others `und`; without a
# limit 4.5% are wrong. Of 805 English prompts 98% are `en` and none is another language.
LEAST_CONFIDENCE = 0.35
NO_LANGUAGE = "zxx"  # code, numbers, addresses


def guess_language(text: str) -> str:
    """Return the language of *text* as ISO 639 writes it; the same text always has the same."""
    if not text or text.isspace():
        return UNDETERMINED
    language, confidence = _classifier()(text[:READ_CHARACTERS])
    return language if confidence >= LEAST_CONFIDENCE and language != NO_LANGUAGE else UNDETERMINED


def load_languages() -> None:
    """Load the model now, 90 MB in half a second, and not with the first text that has to be guessed."""
    _classifier()


@cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - its model takes a second to load

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return identifier.classify  # type: ignore[no-any-return]
