"""Which of many short phrases a text holds, by one pass over it: looking for each alone costs ten times as much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from re import Pattern

import re2


class Cues:
    """Groups of phrases; what a text holds of them is a number with a bit a phrase.

    A pattern is read by RE2: it has to mean the same there, so it looks neither ahead nor for letters beyond ASCII.
    """

    def __init__(
        self, literal: Mapping[str, Sequence[str]], patterns: Mapping[str, Pattern[str]] | None = None
    ) -> None:
        found = [(name, re2.escape(phrase)) for name, phrases in literal.items() for phrase in phrases]
        found += [(name, pattern.pattern) for name, pattern in (patterns or {}).items()]
        self._set = re2.Set.SearchSet()
        self._bits: list[int] = [1 << self._set.Add(phrase) for _, phrase in found]
        self._set.Compile()
        self._of = {
            name: sum(bit for bit, (other, _) in zip(self._bits, found, strict=True) if other == name)
            for name, _ in found
        }

    def of(self, group: str) -> int:
        """Return the bits of *group*."""
        return self._of[group]

    def find(self, text: str) -> int:
        """Return the bits of the phrases that stand in *text*."""
        places: list[int] = self._set.Match(text.encode(errors="xmlcharrefreplace")) or []
        return sum([self._bits[place] for place in places])
