"""What is wrong with an answer by its form alone: nothing in it, broken off, a marker left open, a loop."""

from __future__ import annotations

import re

from monitor.runs.evidence import CUT, EMPTY, FENCE, LIST, LOOP, MARKER
from monitor.signals.markup import FENCE_LINE, without_code
from monitor.signals.repetition import is_looping

_MARKER = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:pad|eos|bos|unk)>"
    r"|^\s*(?:#{2,3} ?(?:Human|User|Assistant|Instruction|Response)|Human|Assistant|USER|ASSISTANT):",
    re.MULTILINE,
)
_OPEN_LIST = re.compile(r"\n[ \t]*(?:[-*+\u2022]|\(?\d{1,3}[.)]|[a-zA-Z][.)])[ \t]*\Z")


def flags_of(text: str, *, cut: bool) -> tuple[str, ...]:
    """Return the `FLAGS` of an answer; *cut* says that it did not end within the limit."""
    found = {
        EMPTY: not text.strip(),
        CUT: cut,
        FENCE: len(FENCE_LINE.findall(text)) % 2 == 1,
        MARKER: _MARKER.search(without_code(text)) is not None,
        LIST: _OPEN_LIST.search(text.rstrip("\n")) is not None,
        LOOP: is_looping(text),
    }
    return tuple(name for name, present in found.items() if present)
