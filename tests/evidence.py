"""Compared answers, as a run of a policy leaves them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from monitor.domain.trace import Message
from monitor.runs.artifact import HashedFile, file_sha256
from monitor.runs.evidence import REPLAY, AnsweredPrompt


def answered(index: int = 0, **changes: Any) -> AnsweredPrompt:
    """Return a replayed prompt that both answered alike."""
    usual: dict[str, Any] = {
        "index": index,
        "item_id": f"t-{index}",
        "suite": REPLAY,
        "kind": REPLAY,
        "cohort": "product=a",
        "cluster": f"c-{index}",
        "messages": (Message("user", f"What is {index} and {index}?"),),
        "candidate": f"It is {2 * index}.",
        "champion": f"That makes {2 * index}.",
        "candidate_tokens": 5,
        "champion_tokens": 5,
        "win": 0.5,
        "margins": (0.1, -0.1),
        "candidate_outcome": 0.0,
        "champion_outcome": 0.0,
    }
    return AnsweredPrompt(**(usual | changes))


def write_rows(path: Path, rows: Iterable[AnsweredPrompt]) -> HashedFile:
    lines = [msgspec.json.encode(row) for row in rows]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return HashedFile(str(path), file_sha256(path), len(lines))
