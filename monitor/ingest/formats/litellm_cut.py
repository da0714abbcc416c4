"""What is left of texts that LiteLLM cut on their way out.

Its loggers cut in two ways. Single strings lose their middle or their end, and a mark says how much is gone. Where a
logger takes little, `messages` and `response` are written as Python shows them, and cut after 10,000 characters.
"""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Iterator

_MARKS = re.compile(
    r"\.\.\. ?\(litellm_truncated\b|\.\.\.truncated by litellm, this logger does not support large content$"
    r"|^\[truncated by litellm\]\.\.\."
)
_SHOWN = re.compile(r"""^[\[{][\[{]?'""")  # a list or a dict as Python shows it
_FIELD = re.compile(
    r"""'(role|content|text|model|finish_reason)': ('(?:[^'\\]|\\.)*'?|"(?:[^"\\]|\\.)*"?)""", re.DOTALL
)


def is_cut(text: str) -> bool:
    return "truncated" in text and _MARKS.search(text) is not None


def is_shown(text: str) -> bool:
    """Say whether *text* is no text but what is left of a structure, as Python shows it."""
    return _SHOWN.match(text) is not None and is_cut(text)


def shown_fields(text: str) -> Iterator[tuple[str, str]]:
    """Yield the roles, texts, models and finish reasons in *text*, in their order; the last may end early.

    What no text can hold, and Python can show, is left out.
    """
    for found in _FIELD.finditer(_MARKS.sub("", text)):
        name, literal = found.groups()
        try:
            value = literal_eval(literal)
        except (SyntaxError, ValueError):  # cut within
            value = literal[1:].replace("\\n", "\n").replace("\\'", "'").replace("\\\\", "\\")
        yield name, value.encode("utf-8", "ignore").decode().replace("\x00", "")
