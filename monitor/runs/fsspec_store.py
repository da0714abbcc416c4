"""Files of a run in an object store, or in whatever else fsspec reaches, for pods that share no volume with the daemon.

Below the store's URL:

    inputs/SHA256/NAME             models and suites, uploaded once
    job-N/attempt-M/TOKEN/given/   the attempt's folder as the run finds it
    job-N/attempt-M/TOKEN/left/    what the run leaves there; `exit_code` comes last
    job-N/checkpoints/             what a later run of the job resumes from; `manifest.json` comes last
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
import msgspec

from monitor.errors import InvalidInput, InvalidSetting, Unavailable
from monitor.runs.artifact import artifact_sha256, file_sha256
from monitor.runs.spec import SPEC_FILE, RunSpec, read_spec, write_spec

INPUTS = "inputs"
OF_JOB = "job"  # within an attempt: files that its job keeps for all its attempts
GIVEN = "given"
LEFT = "left"
CHECKPOINTS = "checkpoints"
COMPLETE = ".complete"
_OF_THIS_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
# Their packages take "make these folders" for "make this bucket", and a bucket that is missing is a mistake to tell of.
_WITHOUT_FOLDERS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "oci"}


class FsspecStore:
    """Files by key below one URL. What the store itself refuses or does not answer is `Unavailable`."""

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        self.url = url
        self._files: Any
        self._root: str
        try:
            self._files, self._root = fsspec.core.url_to_fs(url, **options)
        except (ImportError, ValueError, TypeError) as error:  # what a store is refused for before it is asked
            raise InvalidSetting(f"retrain.kubernetes.store = {url!r}: {error}") from None
        named = self._files.protocol
        self._has_folders = _WITHOUT_FOLDERS.isdisjoint([named] if isinstance(named, str) else named)

    def has(self, key: str) -> bool:
        with self._asked(key) as files:
            files.invalidate_cache()  # others write and remove here
            return bool(files.exists(self._path(key)))

    def read(self, key: str) -> bytes | None:
        """Return the bytes, None where there are none."""
        with self._asked(key) as files:
            try:
                content: bytes = files.cat_file(self._path(key))
            except FileNotFoundError:
                return None
            return content

    def write(self, key: str, content: bytes) -> None:
        with self._asked(key) as files:
            self._make_folder_of(key)
            files.pipe_file(self._path(key), content)

    def put(self, local: Path, key: str) -> None:
        """Upload a file, or all files below a folder."""
        for path in [local] if local.is_file() else sorted(local.rglob("*")):
            if path.is_file():
                target = key if path == local else f"{key}/{path.relative_to(local).as_posix()}"
                with self._asked(target) as files:
                    self._make_folder_of(target)
                    files.put_file(str(path), self._path(target))

    def get(self, key: str, local: Path, names: Sequence[str] | None = None) -> None:
        """Download all files below *key*, or those named, into a folder."""
        for name in self.names(key) if names is None else names:
            target = local / name
            if not target.resolve().is_relative_to(local.resolve()):
                raise Unavailable(f"{self.url}: {key}/{name} leads out of its folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._asked(f"{key}/{name}") as files:
                files.get_file(self._path(f"{key}/{name}"), str(target))

    def names(self, key: str) -> list[str]:
        """Return the files below *key*, by their paths from there."""
        with self._asked(key) as files:
            files.invalidate_cache()
            root = self._path(key)
            try:
                return sorted(str(path)[len(root) :].lstrip("/") for path in files.find(root))
            except FileNotFoundError:
                return []

    def remove(self, key: str) -> None:
        with self._asked(key) as files:
            files.invalidate_cache()
            if files.exists(self._path(key)):
                files.rm(self._path(key), recursive=True)

    def _make_folder_of(self, key: str) -> None:
        if self._has_folders:
            self._files.makedirs(self._path(key).rpartition("/")[0], exist_ok=True)

    def _path(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key}"

    @contextmanager
    def _asked(self, key: str) -> Iterator[Any]:
        try:
            yield self._files
        except Exception as error:  # each store's library has errors of its own
            if isinstance(error, OSError) and error.errno in _OF_THIS_DISK:
                raise
            raise Unavailable(
                f"{self.url}: {key}: {type(error).__name__}: {error}",
                plain="the store of runs does not answer as it should; the log says more",
            ) from error


def attempt_key(folder: Path, token: str) -> str:
    """Return where the files of one start of the attempt in *folder* lie."""
    return f"{folder.parent.name}/{folder.name}/{token}"


def put_attempt(store: FsspecStore, folder: Path, token: str) -> None:
    """Upload what the run in *folder* is given, with a spec that names each file by its place in the pod.

    Models and suites are uploaded once, by hash. What lies in the job's own folder goes with the attempt.
    """
    spec = read_spec(folder / SPEC_FILE)
    given = f"{attempt_key(folder, token)}/{GIVEN}"

    def placed(path: str, sha256: str) -> str:
        here = Path(path)
        if not here.exists():
            raise InvalidInput(f"{path}: no such file or folder; the run wants it")
        if here.is_relative_to(folder):
            return path
        if here.is_relative_to(folder.parent):
            name = f"{OF_JOB}/{here.relative_to(folder.parent).as_posix()}"
            store.put(here, f"{given}/{name}")
            return str(folder / name)
        key = f"{INPUTS}/{sha256}/{here.name}"
        if not store.has(key + COMPLETE):
            store.put(here, key)
            store.write(key + COMPLETE, b"")
        return str(folder.parent.parent / key)

    tree: dict[str, Any] = msgspec.to_builtins(spec)
    for named in _hashed(tree):
        named["path"] = placed(named["path"], named["sha256"])
    tree["base_model"] = placed(spec.base_model, artifact_sha256(Path(spec.base_model)))
    if spec.preferences_card is not None:
        tree["preferences_card"] = placed(spec.preferences_card, file_sha256(Path(spec.preferences_card)))
    store.put(folder, given)
    with TemporaryDirectory() as here:
        write_spec(Path(here) / SPEC_FILE, msgspec.convert(tree, RunSpec))
        store.put(Path(here) / SPEC_FILE, f"{given}/{SPEC_FILE}")


def get_attempt(store: FsspecStore, folder: Path, token: str) -> RunSpec:
    """Download what the run in *folder* is given, to where its spec says; return that spec."""
    store.get(f"{attempt_key(folder, token)}/{GIVEN}", folder)
    spec = read_spec(folder / SPEC_FILE)
    root = folder.parent.parent
    for path in {*(named["path"] for named in _hashed(msgspec.to_builtins(spec))), spec.base_model}:
        here = Path(path)
        if here.is_relative_to(root / INPUTS):
            key = here.relative_to(root).as_posix()
            names = store.names(key)
            if names in ([], [""]):  # a file of its own, as stores list it
                store.get(key.rpartition("/")[0], here.parent, [here.name])
            else:
                store.get(key, here, names)
    return spec


def _hashed(value: Any) -> Iterator[dict[str, Any]]:
    """Yield everything in a spec that names a file or a folder with its hash."""
    if isinstance(value, dict):
        if isinstance(value.get("path"), str) and isinstance(value.get("sha256"), str):
            yield value
        value = list(value.values())
    for item in value if isinstance(value, list | tuple) else []:
        yield from _hashed(item)
