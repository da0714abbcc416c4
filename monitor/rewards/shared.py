"""One ensemble, asked by several threads in turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from monitor.domain.score import Reward
from monitor.domain.trace import Message

Row = tuple[Sequence[Message], str]


class Scorer(Protocol):
    """For one thread at a time."""

    def score(self, rows: Sequence[Row]) -> list[Reward | None]: ...


@dataclass(frozen=True, slots=True)
class TakenInTurn:
    """A scorer that any thread may ask: the others wait."""

    scorer: Scorer
    turn: threading.Lock

    def score(self, rows: Sequence[Row]) -> list[Reward | None]:
        with self.turn:
            return self.scorer.score(rows)


class SharedScorer:
    """Hands out whatever *current* is, to any thread."""

    def __init__(self, current: Callable[[], Scorer | None]) -> None:
        self._current = current
        self._turn = threading.Lock()

    def current(self) -> TakenInTurn | None:
        scorer = self._current()
        return None if scorer is None else TakenInTurn(scorer, self._turn)

    def score(self, rows: Sequence[Row]) -> list[Reward | None]:
        """Score *rows* by whatever is current; None for each without a scorer."""
        scorer = self.current()
        return [None] * len(rows) if scorer is None else scorer.score(rows)
