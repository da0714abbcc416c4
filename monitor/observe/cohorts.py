"""Keeping the number of cohorts bounded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from monitor.domain.cohort import OTHER


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
