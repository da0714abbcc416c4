"""What Linux tells of other processes."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def stat_of(pid: int) -> list[str]:
    """Return the fields of a process behind its name: state, parent, ...; raises `OSError` for one that is gone."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and that nobody reaped does not."""
    try:
        return stat_of(pid)[0] != "Z"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    found = []
    for other in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with suppress(OSError):  # gone since it was listed
            if int(stat_of(other)[1]) == pid:
                found.append(other)
    return found
