"""Telling whoever waits how far the run has come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from monitor.runs.progress import RunProgress, write_progress

WINDOW = 20  # reports over which the rate is taken


class Progress:
    """Writes each line to the stream and, whole, to `progress.json`."""

    def __init__(self, path: Path, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._stream = stream
        self._clock = clock
        self._now = RunProgress("", 0, 0, phase="preparing")
        self._seen: deque[tuple[float, int]] = deque(maxlen=WINDOW)

    def report(
        self,
        line: str,
        *,
        done: int | None = None,
        total: int | None = None,
        loss: float | None = None,
        phase: str | None = None,
    ) -> None:
        """Say *line*; `done` and `total` count optimizer steps over all that is trained. What is not told stays."""
        before = self._now
        if done is not None:
            self._seen.append((self._clock(), done))
        steps, total = before.done if done is None else done, before.total if total is None else total
        rate = self._rate()
        self._now = RunProgress(
            line,
            steps,
            total,
            loss=before.loss if loss is None else loss,
            rate=rate,
            seconds_left=max(total - steps, 0) / rate if rate else None,
            phase=before.phase if phase is None else phase,
        )
        self._stream.write(line + "\n")
        self._stream.flush()
        write_progress(self.path, self._now)

    def _rate(self) -> float | None:
        """Return optimizer steps a second of late; None before two reports tell."""
        if len(self._seen) < 2:
            return None
        (first, begun), (last, done) = self._seen[0], self._seen[-1]
        return (done - begun) / (last - first) if last > first and done > begun else None
