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

from pydantic import BaseModel

from monitor.errors import InvalidInput
from monitor.runs.artifact import artifact_sha256
from monitor.runs.file import read_file, write_file
from monitor.runs.spec import RunSpec
from retrain.lineage import data_hashes, library_versions

KEY_FILE = "key.json"
COMPLETE_FILE = "complete"
_PREFIX = "checkpoint-"


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    """What a checkpoint was made of, by name. Another value anywhere is another training."""

    made_of: Mapping[str, str]


def key_of(spec: RunSpec, recipe: BaseModel, **more: str) -> CheckpointKey:
    """Return what a training of *spec* is made of; what is only measured by is no part of it."""
    judged_by = {"rescore", *(name for name in data_hashes(spec) if name.startswith("suite "))}
    return CheckpointKey(
        {
            "action": spec.action,
            "base": artifact_sha256(Path(spec.base_model)),
            "champion": spec.champion.sha256 if spec.champion is not None else "",
            "scorer": spec.policy.scorer.sha256 if spec.policy is not None else "",
            **{f"data {name}": sha256 for name, sha256 in data_hashes(spec).items() if name not in judged_by},
            "recipe": recipe.model_dump_json(),
            "seed": str(spec.seed),
            **library_versions(),
            **more,
        }
    )


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
