"""Which cohort a trace is in: labels that are computed, a bounded number of names, and keys that nobody sends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Protocol

from monitor.domain.cohort import OTHER, CohortRule
from monitor.domain.trace import Message, Trace
from monitor.observe.prompt_language import PROMPT_LANGUAGE, language_of

WATCHED_TRACES = 10_000  # after which a key that none of them has is told of
MAX_NAMES = 1_000  # of labels, remembered to tell which key was meant


class CohortNames(Protocol):
    """Which cohort names are kept apart."""

    def admit(self, names: Iterable[str]) -> dict[str, str]:
        """Map each name to itself, or to "other" where it does not fit under the cap."""
        ...


class InMemoryCohortNames:
    """First come, first kept."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: set[str] = set()

    def admit(self, names: Iterable[str]) -> dict[str, str]:
        admitted = {}
        for name in names:
            if name in self._kept or len(self._kept) < self.limit:
                self._kept.add(name)
                admitted[name] = name
            else:
                admitted[name] = OTHER
        return admitted


def cohort_of(rule: CohortRule, labels: Mapping[str, str], messages: Sequence[Message]) -> str:
    """Return the cohort's name; the prompt's language is found out where it is a key and nobody told it."""
    if PROMPT_LANGUAGE in rule.keys and PROMPT_LANGUAGE not in labels:
        labels = {**labels, PROMPT_LANGUAGE: language_of(messages)}
    return rule.name(labels)


class KeyWatch:
    """Notices cohort keys that no trace has: a mistyped one would make no cohort, and no noise."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._unseen = dict.fromkeys(key for key in keys if key != PROMPT_LANGUAGE)
        self._names: set[str] = set()
        self._traces = 0
        self._told = False

    def see(self, traces: Iterable[Trace]) -> None:
        if not self._unseen or self._told:
            return
        for trace in traces:
            self._traces += 1
            for name in trace.cohort:
                self._unseen.pop(name, None)
                if len(self._names) < MAX_NAMES:
                    self._names.add(name)

    def due(self) -> list[str]:
        """Return `unknown` once, when enough traces were seen."""
        if self._told or self._traces < WATCHED_TRACES:
            return []
        self._told = True
        return self.unknown()

    def unknown(self) -> list[str]:
        """Return a sentence on each key that none of the traces had."""
        missed = self._unseen if self._traces else ()
        return [
            f"unknown cohort key {key!r}: none of {self._traces:,} traces has it{self._meant(key)}" for key in missed
        ]

    def _meant(self, key: str) -> str:
        near = get_close_matches(key, sorted(self._names), n=1)
        if near:
            return f"; did you mean {near[0]!r}?"
        return f"; they have {', '.join(sorted(self._names)[:10])}" if self._names else "; they have no labels"
