"""How far a run has come, in `progress.json`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monitor.runs.file import read_file, write_file

PROGRESS_FILE = "progress.json"


@dataclass(frozen=True, slots=True)
class RunProgress:
    """`line` is the whole of it in words."""

    line: str
    done: int  # optimizer steps over all that is trained
    total: int  # 0 before it is known
    loss: float | None = None  # the last
    rate: float | None = None  # optimizer steps a second, of late
    seconds_left: float | None = None  # of the training, at that rate; what comes after it is not counted
    phase: str = "training"  # or "preparing", "sampling", "evaluating", as the run says


def write_progress(path: Path, progress: RunProgress) -> None:
    write_file(path, progress)


def read_progress(path: Path) -> RunProgress | None:
    """Return the last progress a run wrote, None before the first."""
    return read_file(path, RunProgress) if path.exists() else None
