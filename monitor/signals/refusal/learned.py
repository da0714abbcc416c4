"""Refusals by a small learned model that reads what was asked and what was answered together."""

from __future__ import annotations

import math
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
Pairs = Sequence[tuple[str, str]]  # prompts and answers
Probabilities = list[tuple[float, float]]  # of a refusal, and of one in full
# What patterns by hand are worth, where no labelled answers of the language can be had to calibrate them.
BY_PATTERN = RefusalReading(0.95, 0.8)
BY_NO_PATTERN = RefusalReading(0.02, 0.01)


class LearnedRefusal:
    """English by the learned model, other covered languages by their patterns, no reading in any other."""

    def __init__(self, path: Path = SHIPPED) -> None:
        self.path = path
        weights, sha256 = read_weights(path)
        rows, self._tokens = weights.table()
        self._rows = TokenRows(rows)
        self._numbers, self._intercepts = weights.dense(), np.array(weights.intercepts)
        self._offset, self._slope = weights.offset, weights.slope
        self._words, self._least = word_weights(weights.tokens), weights.least_weighed
        self._unread, self._uncued = weights.unread, weights.least_uncued
        least = [bound for bound in (self._least, self._uncued) if bound is not None]
        self._low = min(least) if self._least is not None else -math.inf  # below it no cue but declining counts
        self.version = f"learned-{sha256[:8]}+{PATTERNS}"
        self.card = weights.card
        self.threshold = float(weights.card.get("threshold", THRESHOLD))  # at which the card's figures were counted
        self.uncovered: Counter[str] = Counter()  # answers that were not read, by language; it may lose a few to a race

    def read(self, traces: Sequence[Trace]) -> list[RefusalReading | None]:
        return self.begin(traces, lambda _pairs: None)()

    def begin(
        self, traces: Sequence[Trace], elsewhere: Callable[[Pairs], Callable[[], Probabilities | None] | None]
    ) -> Callable[[], list[RefusalReading | None]]:
        """Begin to read; what is returned ends it. English answers may be taken by *elsewhere*, or be given back."""
        found: list[RefusalReading | None] = [None] * len(traces)
        places, pairs = [], []
        for place, trace in enumerate(traces):
            if trace.response is None or (trace.truncated and not has_opening(trace.response)):
                continue
            language = answer_language(trace.response)
            if language == ENGLISH:
                places.append(place)
                pairs.append((prompt_of(trace.messages) or "", trace.response))
            elif language in COVERED:
                found[place] = BY_PATTERN if refuses_in(language, trace.response) else BY_NO_PATTERN
            else:
                self.uncovered[language] += 1
        taken = elsewhere(pairs)

        def end() -> list[RefusalReading | None]:
            read = (None if taken is None else taken()) or self.probabilities(pairs)
            for place, (probability, full) in zip(places, read, strict=True):
                found[place] = RefusalReading(probability, full)
            return found

        return end

    def _look(self, response: str) -> Look | None:
        """Return what is to be compared with what was asked; None where a look is enough, at a fifth of the cost."""
        look = glance_at(response) if self._uncued is None else look_at(response)
        if look is None:
            return None
        weighed = look.weighed(self._words)
        if weighed < self._low and not look.declines:
            return None
        if not look.may_refuse:
            return look if self._uncued is not None and weighed >= self._uncued else None
        return look if self._least is None or weighed >= self._least or look.declines else None

    def probabilities(self, pairs: Pairs) -> Probabilities:
        """Return for each prompt and English answer how probable a refusal is, and one in full."""
        found = [self._unread] * len(pairs)
        # First all looks, then what few of them are read to the end: each step's tables stay in the processor's cache.
        looks = [(number, look) for number, (_, answer) in enumerate(pairs) if (look := self._look(answer)) is not None]
        rows, numbers, counts = array("q"), array("d"), []  # of one of them after the other
        for number, look in looks:
            question = pairs[number][0]
            said = hear(question, look)
            own = self._rows.of(said)
            rows.extend(own)
            counts.append(len(own))
            numbers.extend(numbers_of(question, look, said))
        if looks:
            for (number, _), both in zip(looks, self._added_up(rows, numbers, counts), strict=True):
                found[number] = both
        return found

    def _added_up(self, rows: array[int], numbers: array[float], counts: Sequence[int]) -> Probabilities:
        """Return the probabilities of answers whose tokens' rows, *counts* of each, and numbers follow one another."""
        # A matrix product would round by how many rows there are, and a replay cuts batches elsewhere.
        read = np.frombuffer(numbers).reshape(len(counts), -1)
        scores = (read[:, :, None] * self._numbers).sum(axis=1) + self._intercepts
        owner, weights = np.repeat(np.arange(len(counts)), counts), self._tokens[np.frombuffer(rows, np.int64)]
        for column in range(2):
            scores[:, column] += TOKEN_VALUE * np.bincount(owner, weights[:, column], len(counts))
        refuses = _expit(self._offset + self._slope * scores[:, 0])
        full = refuses * _expit(scores[:, 1])
        return list(zip(refuses.tolist(), full.tolist(), strict=True))


def _expit(scores: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(scores, -40.0, 40.0))))
