"""What stands in an attempt's folder beside spec and result: how the run ended, and what it said."""

from __future__ import annotations

from pathlib import Path

from monitor.errors import InvalidInput
from monitor.runs.progress import PROGRESS_FILE, RunProgress, read_progress

LOG_FILE = "run.log"
EXIT_CODE_FILE = "exit_code"
OWNER_FILE = "owner"  # the token of the start that the folder belongs to, where runs on other machines must know it
LOG_TAIL_BYTES = 1_500


def left_exit_code(folder: Path) -> int | None:
    """Return how the run ended; None as long as it did not say."""
    try:
        return int((folder / EXIT_CODE_FILE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # not there, or still blank


def log_tail(folder: Path) -> str:
    """Return the last 1,500 bytes that the run printed."""
    try:
        with (folder / LOG_FILE).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - LOG_TAIL_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""


def last_line(text: str) -> str | None:
    """Return the last line that is not blank."""
    return next((line for line in reversed(text.split("\n")) if line.strip()), None)


def left_progress(folder: Path) -> RunProgress | None:
    """Return how far the run says it has come; it is a courtesy, so a broken file is none."""
    try:
        return read_progress(folder / PROGRESS_FILE)
    except InvalidInput:
        return None


def owner(folder: Path) -> str | None:
    """Return the token of the start that the folder belongs to."""
    try:
        return (folder / OWNER_FILE).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
