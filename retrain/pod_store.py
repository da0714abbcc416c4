"""A run's folder in a pod that shares no volume with the daemon: it comes from a store, and goes there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from monitor.runs.attempt import EXIT_CODE_FILE, LOG_FILE
from monitor.runs.fsspec_store import CHECKPOINTS, LEFT, FsspecStore, attempt_key, get_attempt
from monitor.runs.progress import PROGRESS_FILE
from monitor.runs.result import RESULT_FILE

KEEP_SECONDS = 5.0
QUIET_SECONDS = 3.0  # a checkpoint that was written to since may be half written
_MANIFEST = "manifest.json"


class StoredFolder:
    """The attempt's folder at the path it has on the daemon's machine."""

    def __init__(self, folder: Path, token: str, url: str, options: Mapping[str, str]) -> None:
        self._folder, self._token = folder, token
        self._store = FsspecStore(url, options)
        self._left = f"{attempt_key(folder, token)}/{LEFT}"
        self._checkpoints_key = f"{folder.parent.name}/{CHECKPOINTS}"
        self._checkpoints: Path | None = None
        self._output = folder
        self._kept: dict[str, tuple[int, int]] = {}  # size and time of what was uploaded, by its key
        self._whole: list[str] = []  # the files of whole checkpoints, as the manifest names them
        self._next = 0.0

    def receive(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        spec = get_attempt(self._store, self._folder, self._token)
        self._output = Path(spec.output)
        if spec.checkpoints is None:
            return
        self._checkpoints = Path(spec.checkpoints)
        content = self._store.read(f"{self._checkpoints_key}/{_MANIFEST}")
        if content is not None:
            self._whole = msgspec.json.decode(content, type=list[str])
            self._store.get(self._checkpoints_key, self._checkpoints, self._whole)

    def keep(self) -> bool:
        if time.monotonic() >= self._next:
            self._put_changed([self._folder / PROGRESS_FILE, self._folder / LOG_FILE], self._folder, self._left)
            self._keep_checkpoints()
            self._next = time.monotonic() + KEEP_SECONDS
        return True

    def deliver(self, exit_code: int | None) -> None:
        if exit_code is None:
            self._next = 0.0
            self.keep()
            return
        left = [path for path in sorted(self._output.rglob("*")) if path.is_file()]
        told = [self._folder / name for name in (PROGRESS_FILE, LOG_FILE, RESULT_FILE)]
        self._put_changed([*left, *told], self._folder, self._left)
        self._store.write(f"{self._left}/{EXIT_CODE_FILE}", str(exit_code).encode())

    def _put_changed(self, paths: Sequence[Path], root: Path, key: str) -> None:
        for path in paths:
            target = f"{key}/{path.relative_to(root).as_posix()}"
            stamp = _stamp(path)
            if stamp is not None and self._kept.get(target) != stamp:
                self._store.put(path, target)
                self._kept[target] = stamp

    def _keep_checkpoints(self) -> None:
        """Upload each checkpoint that is whole, then name the files they are made of; remove what is none any more."""
        if self._checkpoints is None or not self._checkpoints.is_dir():
            return
        whole: list[str] = []
        for entry in sorted(self._checkpoints.iterdir()):
            files = [path for path in [entry, *sorted(entry.rglob("*"))] if path.is_file()]
            newest = max((stamp[1] for path in files if (stamp := _stamp(path)) is not None), default=0) / 1e9
            if files and time.time() - newest >= QUIET_SECONDS:
                self._put_changed(files, self._checkpoints, self._checkpoints_key)
                whole += [path.relative_to(self._checkpoints).as_posix() for path in files]
        if whole and whole != self._whole:
            self._store.write(f"{self._checkpoints_key}/{_MANIFEST}", msgspec.json.encode(whole))
            for name in set(self._whole) - set(whole):
                self._store.remove(f"{self._checkpoints_key}/{name}")
            self._whole = whole


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return a file's size and the time of its last change, in nanoseconds; None where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
