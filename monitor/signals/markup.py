"""The marks of Markdown, each told in one way: for the signals of format, and for flags of answers in training."""

from __future__ import annotations

import re

FENCE_LINE = re.compile(r"^[ \t>]*(?:`{3,}|~{3,})", re.MULTILINE)
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
LIST_MARK = r"(?:[-*+\u2022]|\(?\d{1,3}[.)])"
_ITEM = re.compile(rf"{LIST_MARK}[ \t]")
_ITEM_STARTS = frozenset("-*+\u2022(0123456789")
HEADING = re.compile(r"^ {0,3}#{1,6} ", re.MULTILINE)
# Possessive: a line of blanks or dashes is read once, however long it is.
TABLE_RULE = re.compile(r"^[ \t]*+\|?+(?:[ \t]*+:?-{2,}+:?[ \t]*+\|)++[ \t]*+:?-*+:?[ \t]*+$", re.MULTILINE)


def without_code(text: str) -> str:
    """Return what is not code: an answer may explain marks."""
    return _CODE.sub(" ", text)


def without_fences(text: str) -> str:
    """Return *text* without its fenced code; a fence that nobody closed goes to the end."""
    return _FENCED.sub("", text) if "```" in text else text


def is_item(line: str) -> bool:
    """Say whether *line* begins an item of a list."""
    line = line.lstrip()
    return line[:1] in _ITEM_STARTS and _ITEM.match(line) is not None
