"""What names a model or a file on disk: the hash of all it consists of."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

VERSION_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class HashedFile:
    path: str  # absolute
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """An ensemble on disk: a folder with one sub-folder per member, `member-0`, `member-1`, ..."""

    version: str
    path: str  # absolute
    sha256: str  # over the sorted relative paths and the bytes of all files


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def artifact_sha256(folder: Path) -> str:
    """Hash the sorted relative paths and the bytes of all files below *folder*.

    Two folders with the same files have the same hash, wherever they stand.
    """
    digest = sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()


def short_version(sha256_hex: str) -> str:
    """Return the part of a hash that serves as a scorer's version."""
    return sha256_hex[:VERSION_CHARACTERS]
