"""Text as refusals are looked for in it: lower case, ASCII apostrophes and quotation marks, nothing invisible."""

from __future__ import annotations

_FOLDED = tuple(
    (
        dict.fromkeys("\u2018\u2019\u02bc\u2032\uff07\u00b4", "'")
        | dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb\uff02", '"')
        | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", "")
        | dict.fromkeys("\u00a0\u2009\u202f", " ")
        | {"\u2010": "-", "\u2011": "-"}
    ).items()
)


def fold(text: str) -> str:
    text = text.lower()
    if text.isascii():
        return text
    for letter, plain in _FOLDED:  # a fifth of what `str.translate` takes
        text = text.replace(letter, plain)
    return text
