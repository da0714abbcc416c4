"""The words of a folded text, and their stems."""

from __future__ import annotations

import re

WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|[.?!:]")
REMEMBERED = 50_000  # stems; beyond it they are found anew
_MARKS = (b".", b"?", b"!", b":")
_KEPT = frozenset(b"abcdefghijklmnopqrstuvwxyz'") | frozenset(b"".join(_MARKS))
_SPACED = bytes(byte if byte in _KEPT else 0x20 for byte in range(256))  # all bytes of a letter beyond ASCII too
# An apostrophe that does not stand between two letters, or not alone in its word.
_LOOSE = re.compile(r"'(?![a-z])|'(?<![a-z]')|'[a-z]+'")


def words_of(folded: str, most: int = -1) -> list[str]:
    """Return the first *most* words and marks of *folded*, all for -1, as `WORD` finds them; a third of its time."""
    if "'" in folded and _LOOSE.search(folded) is not None:
        found = WORD.findall(folded)
        return found if most < 0 else found[:most]
    spaced = folded.encode("utf-8", "surrogatepass").translate(_SPACED)
    for mark in _MARKS:
        spaced = spaced.replace(mark, b" " + mark + b" ")
    words = spaced.decode("ascii").split(None, most)
    if len(words) > most >= 0:
        words.pop()  # what was not split
    return words


class Stems(dict[str, str]):
    """The stem of each word, remembered."""

    def __missing__(self, word: str) -> str:
        if len(self) >= REMEMBERED:
            self.clear()
        found = self[word] = word[:-1] if len(word) > 4 and word[-1] == "s" else word
        return found


stem = Stems().__getitem__
