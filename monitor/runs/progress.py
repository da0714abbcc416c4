"""How far a run has come, in `progress.json`."""

from __future__ import annotations

from pathlib import Path

from monitor.domain.job import RunProgress
from monitor.runs.file import read_file, write_file

__all__ = ["PROGRESS_FILE", "RunProgress", "read_progress", "write_progress"]

PROGRESS_FILE = "progress.json"


def write_progress(path: Path, progress: RunProgress) -> None:
    write_file(path, progress)


def read_progress(path: Path) -> RunProgress | None:
    """Return the last progress a run wrote, None before the first."""
    return read_file(path, RunProgress) if path.exists() else None
