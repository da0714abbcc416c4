"""The folders that an ensemble lies in: one a member, or one for several heads on a backbone."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from monitor.errors import InvalidInput
from monitor.runs.artifact import artifact_sha256
from monitor.runs.heads import is_heads, read_form

MEMBER_PREFIX = "member-"


def member_folders(folder: Path) -> list[Path]:
    """Return the members below *folder* in order, or *folder* itself where it is one."""
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such folder; name the folder of a reward model")
    if (folder / "config.json").is_file() or is_heads(folder):
        return [folder]
    found = sorted(path.name for path in folder.glob(f"{MEMBER_PREFIX}*"))
    wanted = [f"{MEMBER_PREFIX}{number}" for number in range(len(found))]
    if not found or set(found) != set(wanted):
        raise InvalidInput(
            f"{folder} holds {', '.join(found) or 'no members'}: a reward model has a config.json, "
            f"and an ensemble has the folders member-0, member-1, ..."
        )
    return [folder / name for name in wanted]


def member_hashes(folder: Path) -> list[str]:
    """Return a hash for each member below *folder*, in their order: of its files, and of heads their number too."""
    found = []
    for member in member_folders(folder):
        content = artifact_sha256(member)
        numbers = range(read_form(member).members) if is_heads(member) else ()
        found += [sha256(f"{content} head-{number}".encode()).hexdigest() for number in numbers] or [content]
    return found
