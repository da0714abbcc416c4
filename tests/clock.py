"""A monotonic clock that a test sets."""

from __future__ import annotations


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0  # seconds

    def __call__(self) -> float:
        return self.now
