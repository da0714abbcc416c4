"""One ensemble for several threads, which take turns at it: the worker's, and the one that scores the anchor set."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from monitor.domain.score import Reward
from monitor.domain.trace import Message


class Ensemble(Protocol):
    def score(self, rows: Sequence[tuple[Sequence[Message], str]]) -> list[Reward | None]: ...


class ScorerInUse(Protocol):
    """`ChampionScorer` or `HttpScorer`."""

    def current(self) -> Ensemble | None: ...

    def version(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Turn:
    """An ensemble that is for one thread at a time, for any."""

    ensemble: Ensemble
    lock: threading.Lock

    def score(self, rows: Sequence[tuple[Sequence[Message], str]]) -> list[Reward | None]:
        """Score *rows* when nobody else scores; ask for few where others wait."""
        with self.lock:
            return self.ensemble.score(rows)


class SharedScorer:
    """What scores now, for any thread."""

    def __init__(self, scorer: ScorerInUse) -> None:
        self._scorer = scorer
        self.lock = threading.Lock()  # one for all ensembles: the one before may still score on the same device

    def current(self) -> Turn | None:
        ensemble = self._scorer.current()
        return None if ensemble is None else Turn(ensemble, self.lock)

    def version(self) -> str | None:
        return self._scorer.version()
