"""Refusals by a small learned model that reads what was asked and what was answered together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.domain.trace import Trace, prompt_of
from monitor.signals.reading import ENGLISH
from monitor.signals.refusal.features import Look, features_of, look_at, word_weights
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
        self._rows, self._tokens = weights.table()
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
        pairs = [(prompt_of(traces[place].messages) or "", traces[place].response or "") for place in english]
        for place, (probability, full) in zip(english, self.probabilities(pairs), strict=True):
            found[place] = RefusalReading(probability, full)
        return found

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, float]]:
        """Return for each prompt and English answer how probable a refusal is, and one in full."""
        looks = [look_at(response) for _, response in pairs]
        read = [place for place, look in enumerate(looks) if self._is_read(look)]
        found = [self._unread] * len(pairs)
        for place, both in zip(read, self._read([(pairs[place][0], looks[place]) for place in read]), strict=True):
            found[place] = both
        return found

    def _is_read(self, look: Look) -> bool:
        """Say whether an answer is compared with what was asked: reading one costs five times what a look does."""
        if not look.may_refuse:
            return self._uncued is not None and look.weighed(self._words) >= self._uncued
        return self._least is None or look.weighed(self._words) >= self._least or look.declines

    def _read(self, asked: Sequence[tuple[str, Look]]) -> list[tuple[float, float]]:
        if not asked:
            return []
        rows, counts, numbers = self._rows, [], []
        flat: list[int] = []
        for prompt, look in asked:
            tokens, own = features_of(prompt, look)
            # Sums of floats depend on their order, and that of a set on the process.
            known = sorted(row for row in map(rows.get, set(tokens)) if row is not None)
            flat += known
            counts.append(len(known))
            numbers.append(own)
        # A matrix product would round by how many rows there are, and a replay cuts batches elsewhere.
        read = np.array(numbers, dtype=np.float64)
        scores = (read[:, :, None] * self._numbers).sum(axis=1) + self._intercepts
        np.add.at(scores, np.repeat(np.arange(len(asked)), counts), TOKEN_VALUE * self._tokens[flat])
        refuses = _expit(self._offset + self._slope * scores[:, 0])
        full = refuses * _expit(scores[:, 1])
        return list(zip(refuses.tolist(), full.tolist(), strict=True))


def _expit(scores: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(scores, -40.0, 40.0))))
