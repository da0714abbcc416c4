"""How a run's files reach its pod and come back: by a volume that both mount, or through a store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from monitor.errors import InvalidInput
from monitor.retraining.records import RunHandle
from monitor.runs.attempt import (
    EXIT_CODE_FILE,
    LOG_FILE,
    TOKEN_FILE,
    left_exit_code,
    log_tail,
    owner,
    progress_line,
)
from monitor.runs.file import parse_bytes
from monitor.runs.fsspec_store import GIVEN, LEFT, FsspecStore, attempt_key, put_inputs
from monitor.runs.progress import PROGRESS_FILE, RunProgress
from monitor.runs.spec import SPEC_FILE, read_spec, write_spec


class Files(Protocol):
    """The files of one start."""

    def give(self) -> None:
        """Make the attempt's folder this start's, and put it where the pod finds it; may be called again."""
        ...

    def exit_code(self) -> int | None: ...
    def progress(self) -> str | None: ...
    def log_tail(self) -> str: ...

    def fetch(self) -> None:
        """Bring what the run left into the attempt's folder."""
        ...

    def discard(self) -> None:
        """Remove what no other start needs; the attempt's folder is not this one's to remove."""
        ...


class SharedFiles:
    """The attempt's folder itself, on a volume that daemon and pod mount at the same path."""

    def __init__(self, handle: RunHandle) -> None:
        self._folder, self._token = Path(handle.folder), handle.token

    def give(self) -> None:
        # A run before this one, on a node that fell silent, may have written until its folder was taken from it.
        shutil.rmtree(read_spec(self._folder / SPEC_FILE).output, ignore_errors=True)
        (self._folder / TOKEN_FILE).write_text(self._token, encoding="ascii")

    def exit_code(self) -> int | None:
        return left_exit_code(self._folder) if owner(self._folder) == self._token else None

    def progress(self) -> str | None:
        return progress_line(self._folder)

    def log_tail(self) -> str:
        return log_tail(self._folder)

    def fetch(self) -> None:
        """They are there."""

    def discard(self) -> None:
        """There is no copy."""


class StoreFiles:
    """A copy of the attempt's folder in a store, which the pod fills in turn."""

    def __init__(self, handle: RunHandle, store: FsspecStore) -> None:
        self._folder, self._store = Path(handle.folder), store
        self._key = attempt_key(self._folder, handle.token)

    def give(self) -> None:
        spec = put_inputs(self._store, read_spec(self._folder / SPEC_FILE), self._folder)
        self._store.put(self._folder, f"{self._key}/{GIVEN}")
        with TemporaryDirectory() as here:
            write_spec(Path(here) / SPEC_FILE, spec)
            self._store.put(Path(here) / SPEC_FILE, f"{self._key}/{GIVEN}/{SPEC_FILE}")

    def exit_code(self) -> int | None:
        content = self._store.read(f"{self._key}/{LEFT}/{EXIT_CODE_FILE}")
        try:
            return int(content) if content is not None else None
        except ValueError:
            return None  # half written

    def progress(self) -> str | None:
        content = self._store.read(f"{self._key}/{LEFT}/{PROGRESS_FILE}")
        try:
            return parse_bytes(content, RunProgress).line if content is not None else None
        except InvalidInput:
            return None

    def log_tail(self) -> str:
        content = self._store.read(f"{self._key}/{LEFT}/{LOG_FILE}")
        return (content or b"")[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()

    def fetch(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._store.get(f"{self._key}/{LEFT}", self._folder)

    def discard(self) -> None:
        self._store.remove(self._key)


FilesOf = Callable[[RunHandle], Files]
