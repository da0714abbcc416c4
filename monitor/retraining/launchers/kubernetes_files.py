"""How a run's files reach its pod and come back; here by a volume that both mount."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from monitor.retraining.records import RunHandle
from monitor.runs.attempt import OWNER_FILE, left_exit_code, left_progress, log_tail, owner
from monitor.runs.progress import RunProgress
from monitor.runs.spec import SPEC_FILE, read_spec


class Files(Protocol):
    """The files of one start."""

    def give(self) -> None:
        """Make the attempt's folder this start's, and put it where the pod finds it; may be called again."""
        ...

    def exit_code(self) -> int | None: ...
    def progress(self) -> RunProgress | None: ...
    def log_tail(self) -> str: ...

    def fetch(self) -> None:
        """Bring what the run left into the attempt's folder."""
        ...

    def discard(self, *, resumed: bool) -> None:
        """Remove the copies that were this start's; *resumed*: another one may go on from the checkpoints."""
        ...


class SharedFiles:
    """The attempt's folder itself, on a volume that daemon and pod mount at the same path."""

    def __init__(self, handle: RunHandle) -> None:
        self._folder, self._token = Path(handle.folder), handle.token

    def give(self) -> None:
        # A run before this one, on a node that fell silent, may have written until its folder was taken from it.
        shutil.rmtree(read_spec(self._folder / SPEC_FILE).output, ignore_errors=True)
        (self._folder / OWNER_FILE).write_text(self._token, encoding="ascii")

    def exit_code(self) -> int | None:
        return left_exit_code(self._folder) if owner(self._folder) == self._token else None

    def progress(self) -> RunProgress | None:
        return left_progress(self._folder)

    def log_tail(self) -> str:
        return log_tail(self._folder)

    def fetch(self) -> None:
        """They are there."""

    def discard(self, *, resumed: bool) -> None:
        """There is no copy."""


FilesOf = Callable[[RunHandle], Files]
