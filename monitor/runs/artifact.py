"""What names a model or a file on disk: the hash of all it consists of."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

from monitor.errors import InvalidInput

VERSION_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class HashedFile:
    path: str  # absolute
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model on disk: an ensemble's folder with `member-0`, `member-1`, ..., or a policy's for Transformers."""

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


def policy_artifact(folder: Path) -> Artifact:
    """Return a policy's folder, used where it lies; raise `InvalidInput` for one that Transformers would not load."""
    wanted = "wanted a Hugging Face folder of a causal language model"
    if not (folder / "config.json").is_file():
        found = "an adapter without its base" if (folder / "adapter_config.json").is_file() else "no config.json"
        raise InvalidInput(f"{folder}: {found}; {wanted}")
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        raise InvalidInput(f"{folder}: no weights, neither *.safetensors nor *.bin; {wanted}")
    sha256_hex = artifact_sha256(folder)
    return Artifact(short_version(sha256_hex), str(folder.resolve()), sha256_hex)


def short_version(sha256_hex: str) -> str:
    """Return the part of a hash that serves as a scorer's version."""
    return sha256_hex[:VERSION_CHARACTERS]
