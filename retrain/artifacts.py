"""Results that are there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from monitor.runs.artifact import Artifact, HashedFile, artifact_sha256, file_sha256, short_version


@contextmanager
def staged_folder(final: Path) -> Iterator[Path]:
    """Yield a folder to fill; it takes the name *final* once the block ends well, and is gone otherwise."""
    staging = final.with_name(f".{final.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        yield staging
        os.replace(staging, final)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def describe_artifact(folder: Path) -> Artifact:
    sha256 = artifact_sha256(folder)
    return Artifact(short_version(sha256), str(folder), sha256)


def write_rows(path: Path, rows: Iterator[Mapping[str, object]]) -> HashedFile:
    """Write one JSON object a line."""
    part = path.with_name(path.name + ".part")
    count = 0
    with part.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, allow_nan=False) + "\n")
            count += 1
    os.replace(part, path)
    return HashedFile(str(path), file_sha256(path), count)
