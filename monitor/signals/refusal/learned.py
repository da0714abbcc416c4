"""Refusals by a small learned model that reads what was asked and what was answered together."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.domain.trace import Trace, prompt_of
from monitor.signals.reading import ENGLISH
from monitor.signals.refusal.features import Look, TokenRows, glance_at, hear, look_at, numbers_of, word_weights
from monitor.signals.refusal.language import COVERED, PATTERNS, answer_language, refuses_in
from monitor.signals.refusal.patterns import has_opening
from monitor.signals.refusal.reading import THRESHOLD, RefusalReading
from monitor.signals.refusal.weights import SHIPPED, TOKEN_VALUE, read_weights

Floats = NDArray[np.float64]
# What patterns by hand are worth, where no labelled answers of the language can be had to calibrate them.
BY_PATTERN = RefusalReading(0.95, 0.8)
BY_NO_PATTERN = RefusalReading(0.02, 0.01)


class LearnedRefusal:
    """English by the learned model, other covered languages by their patterns, no reading in any other."""

    def __init__(self, path: Path = SHIPPED) -> None:
        weights, sha256 = read_weights(path)
        rows, self._tokens = weights.table()
        self._rows = TokenRows(rows)
        self._numbers, self._intercepts = weights.dense(), np.array(weights.intercepts)
        self._offset, self._slope = weights.offset, weights.slope
        self._words, self._least = word_weights(weights.tokens), weights.least_weighed
        self._unread, self._uncued = weights.unread, weights.least_uncued
        self.version = f"learned-{sha256[:8]}+{PATTERNS}"
        self.card = weights.card
        self.threshold = float(weights.card.get("threshold", THRESHOLD))  # at which the card's figures were counted
        self.uncovered: Counter[str] = Counter()  # answers that were not read, by language; it may lose a few to a race

    def read(self, traces: Sequence[Trace]) -> list[RefusalReading | None]:
        found: list[RefusalReading | None] = [None] * len(traces)
        english = []
        for place, trace in enumerate(traces):
            if trace.response is None or (trace.truncated and not has_opening(trace.response)):
                continue
            language = answer_language(trace.response)
            if language == ENGLISH:
                english.append(place)
            elif language in COVERED:
                found[place] = BY_PATTERN if refuses_in(language, trace.response) else BY_NO_PATTERN
            else:
                self.uncovered[language] += 1
        looks = [self._look(traces[place].response or "") for place in english]
        read = self._probabilities(looks, lambda number: prompt_of(traces[english[number]].messages) or "")
        for place, (probability, full) in zip(english, read, strict=True):
            found[place] = RefusalReading(probability, full)
        return found

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, float]]:
        """Return for each prompt and English answer how probable a refusal is, and one in full."""
        return self._probabilities([self._look(response) for _, response in pairs], lambda number: pairs[number][0])

    def _probabilities(self, looks: Sequence[Look | None], prompt: Callable[[int], str]) -> list[tuple[float, float]]:
        found = [self._unread] * len(looks)
        read = [(number, look) for number, look in enumerate(looks) if look is not None and self._is_read(look)]
        both = self._read([(prompt(number), look) for number, look in read])
        for (number, _), probabilities in zip(read, both, strict=True):
            found[number] = probabilities
        return found

    def _look(self, response: str) -> Look | None:
        """Return what there is to read; None of an answer without a cue, unless the weights know such refusals."""
        return glance_at(response) if self._uncued is None else look_at(response)

    def _is_read(self, look: Look) -> bool:
        """Say whether an answer is compared with what was asked: that costs five times a look."""
        if self._uncued is not None and not look.may_refuse:
            return look.weighed(self._words) >= self._uncued
        return self._least is None or look.weighed(self._words) >= self._least or look.declines

    def _read(self, asked: Sequence[tuple[str, Look]]) -> list[tuple[float, float]]:
        if not asked:
            return []
        rows, numbers, counts = array("q"), array("d"), []  # of one answer after the other
        for prompt, look in asked:
            said = hear(prompt, look)
            own = self._rows.of(said)
            rows.extend(own)
            counts.append(len(own))
            numbers.extend(numbers_of(prompt, look, said))
        # A matrix product would round by how many rows there are, and a replay cuts batches elsewhere.
        read = np.frombuffer(numbers).reshape(len(asked), -1)
        scores = (read[:, :, None] * self._numbers).sum(axis=1) + self._intercepts
        owner, weights = np.repeat(np.arange(len(asked)), counts), self._tokens[np.frombuffer(rows, np.int64)]
        for column in range(2):
            scores[:, column] += TOKEN_VALUE * np.bincount(owner, weights[:, column], len(asked))
        refuses = _expit(self._offset + self._slope * scores[:, 0])
        full = refuses * _expit(scores[:, 1])
        return list(zip(refuses.tolist(), full.tolist(), strict=True))


def _expit(scores: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(scores, -40.0, 40.0))))
