"""A run's files by way of a store, for pods that share no volume with the daemon."""

from __future__ import annotations

from pathlib import Path

import msgspec

from monitor.retraining.records import RunHandle
from monitor.runs.attempt import EXIT_CODE_FILE, LOG_FILE, LOG_TAIL_BYTES
from monitor.runs.fsspec_store import CHECKPOINTS, LEFT, FsspecStore, attempt_key, put_attempt
from monitor.runs.progress import PROGRESS_FILE, RunProgress


class StoreFiles:
    """A copy of the attempt's folder in a store, which the pod fills in turn."""

    def __init__(self, handle: RunHandle, store: FsspecStore) -> None:
        self._folder, self._token, self._store = Path(handle.folder), handle.token, store
        self._key = attempt_key(self._folder, handle.token)

    def give(self) -> None:
        put_attempt(self._store, self._folder, self._token)

    def exit_code(self) -> int | None:
        content = self._store.read(f"{self._key}/{LEFT}/{EXIT_CODE_FILE}")
        try:
            return int(content) if content is not None else None
        except ValueError:
            return None  # half written

    def progress(self) -> RunProgress | None:
        content = self._store.read(f"{self._key}/{LEFT}/{PROGRESS_FILE}")
        try:
            return msgspec.json.decode(content, type=RunProgress) if content is not None else None
        except msgspec.DecodeError:
            return None  # half written

    def log_tail(self) -> str:
        content = self._store.read(f"{self._key}/{LEFT}/{LOG_FILE}")
        return (content or b"")[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()

    def fetch(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._store.get(f"{self._key}/{LEFT}", self._folder)

    def discard(self, *, resumed: bool) -> None:
        self._store.remove(self._key)
        if not resumed:
            self._store.remove(f"{self._folder.parent.name}/{CHECKPOINTS}")
