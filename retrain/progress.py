"""Telling whoever waits how far the run has come."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from monitor.runs.progress import RunProgress, write_progress


class Progress:
    """Writes each line to the stream and, whole, to `progress.json`."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self._path = path
        self._stream = stream
        self._done = 0
        self._total = 0
        self._phase = "training"

    def report(self, line: str, *, done: int | None = None, total: int | None = None, phase: str | None = None) -> None:
        """Say *line*; `done` and `total` count optimizer steps over all members and stay until changed, as `phase`."""
        self._done = self._done if done is None else done
        self._total = self._total if total is None else total
        self._stream.write(line + "\n")
        self._stream.flush()
        self._phase = self._phase if phase is None else phase
        write_progress(self._path, RunProgress(line, self._done, self._total, phase=self._phase))
