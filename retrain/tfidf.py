"""The baseline that reads words alone: a Bradley-Terry model on TF-IDF of words and of pairs of words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from retrain.bradley_terry import Floats, fit_bradley_terry
from retrain.preferences import PreferencePair

_WORD = re.compile(r"\b\w\w+\b")
_LEAST_DOCUMENTS = 2
_MAX_WORDS = 200_000
_STRENGTH = (
    1.0  # the weight of all pairs' loss against half the squared length, as logistic regressions usually have it
)


class WordModel:
    """Scores answers by their words; learnt from training pairs, blind to the prompt."""

    def __init__(self, pairs: Sequence[PreferencePair]) -> None:
        documents = [_grams(text) for text in dict.fromkeys(text for pair in pairs for text in _sides(pair))]
        found = Counter(gram for document in documents for gram in document)
        known = [(gram, count) for gram, count in found.most_common(_MAX_WORDS) if count >= _LEAST_DOCUMENTS]
        self._places = {gram: place for place, (gram, _) in enumerate(known)}
        self._rarity = [math.log((1 + len(documents)) / (1 + count)) + 1 for _, count in known]
        differences = self._differences(pairs)
        self._direction = fit_bradley_terry(differences, ridge=1 / (_STRENGTH * len(pairs)))

    def margins(self, pairs: Sequence[PreferencePair]) -> Floats:
        """Return how far each pair's chosen answer lies above the rejected one."""
        margins: Floats = self._differences(pairs) @ self._direction
        return margins

    def _differences(self, pairs: Sequence[PreferencePair]) -> Any:
        sides = [self._matrix([_sides(pair)[side] for pair in pairs]) for side in (0, 1)]
        return (sides[0] - sides[1]).tocsr()

    def _matrix(self, texts: Sequence[str]) -> Any:
        starts, columns, values = [0], list[int](), list[float]()
        for text in texts:
            counts = _grams(text)
            held = {self._places[gram]: 1 + math.log(counts[gram]) for gram in counts if gram in self._places}
            weights = {place: value * self._rarity[place] for place, value in held.items()}
            length = math.sqrt(sum(value**2 for value in weights.values())) or 1.0
            columns += weights.keys()
            values += [value / length for value in weights.values()]
            starts.append(len(columns))
        return sparse.csr_matrix((np.array(values), np.array(columns, dtype=np.int64), starts), self._shape(texts))

    def _shape(self, texts: Sequence[str]) -> tuple[int, int]:
        return len(texts), max(len(self._places), 1)


def _sides(pair: PreferencePair) -> tuple[str, str]:
    return pair.chosen, pair.rejected


def _grams(text: str) -> Counter[str]:
    words = _WORD.findall(text.lower())
    return Counter(words) + Counter(f"{one} {other}" for one, other in pairwise(words))
