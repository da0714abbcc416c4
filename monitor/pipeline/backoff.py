"""Waiting between attempts, longer each time, never in step with other replicas."""

from __future__ import annotations

from random import Random


class Backoff:
    """Full jitter: each delay is drawn between 0 and a bound that doubles up to *longest_seconds*."""

    def __init__(self, random: Random, *, first_seconds: float = 0.2, longest_seconds: float = 10.0) -> None:
        self._random = random
        self._first = first_seconds
        self._longest = longest_seconds
        self._bound = first_seconds

    def next_seconds(self) -> float:
        delay = self._random.uniform(0.0, self._bound)
        self._bound = min(self._bound * 2.0, self._longest)
        return delay

    def reset(self) -> None:
        self._bound = self._first
