"""What outlives an attempt: the data as it was prepared, the trainer's checkpoints, and the trained policy.

All of it belongs to one key: the base, the data, the recipe, the seed, the libraries. What another key left is removed.
A checkpoint counts once its mark stands in it, which is written last.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.errors import InvalidInput
from monitor.runs.file import read_file, write_file

KEY_FILE = "key.json"
COMPLETE_FILE = "complete"
_PREFIX = "checkpoint-"


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    """What a checkpoint was made of, by name. Another value anywhere is another training."""

    made_of: Mapping[str, str]


def claim_folder(folder: Path, key: CheckpointKey) -> str | None:
    """Make *folder* hold nothing but what was made of *key*; return what was removed, for people."""
    removed = None
    if folder.exists() and any(folder.iterdir()):
        try:
            found = read_file(folder / KEY_FILE, CheckpointKey).made_of
        except InvalidInput:
            found = {}
        if found == key.made_of:
            return None
        wanted = key.made_of
        other = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        removed = f"checkpoints of another training are removed; other: {', '.join(other) if found else 'no key'}"
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / KEY_FILE, key)
    return removed


def mark_complete(checkpoint: Path) -> None:
    """Say that *checkpoint* is whole, once its bytes are on the disk."""
    for path in [*checkpoint.rglob("*"), checkpoint]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    (checkpoint / COMPLETE_FILE).touch()


def latest_complete(folder: Path) -> Path | None:
    """Return the checkpoint of most steps that is whole; those that are not are removed."""
    whole = []
    for path in folder.glob(f"{_PREFIX}*"):
        if (path / COMPLETE_FILE).is_file() and path.name.removeprefix(_PREFIX).isdecimal():
            whole.append(path)
        else:
            shutil.rmtree(path)
    return max(whole, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(_PREFIX))


def remove_others(folder: Path, kept: set[str]) -> None:
    """Remove the checkpoints of *folder* that are not *kept*, given by path."""
    for path in folder.glob(f"{_PREFIX}*"):
        if str(path) not in kept:
            shutil.rmtree(path, ignore_errors=True)


def link_folder(source: Path, target: Path) -> None:
    """Put the files of *source* into *target* a second time, without their bytes where the disk allows."""

    def link(one: str, other: str) -> str:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)
        return other

    shutil.copytree(source, target, copy_function=link, dirs_exist_ok=True)
