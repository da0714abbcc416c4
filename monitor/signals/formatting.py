"""How an answer is laid out: `list_share`, `heading`, `table`, `bold`, `code_share` and `emoji`."""

from __future__ import annotations

import re

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace
from monitor.signals.markup import HEADING, TABLE_RULE, is_item, without_fences
from monitor.signals.reading import answer_of, per_100_words

LIST_SHARE = Signal(
    "list_share", SignalKind.PROBABILITY, "ratio", "share of the lines that begin an item of a list", of_texts=True
)
HEADINGS = Signal("heading", SignalKind.BINARY, "ratio", "the answer has a heading", of_texts=True)
TABLE = Signal("table", SignalKind.BINARY, "ratio", "the answer has a table", of_texts=True)
BOLD = Signal("bold", SignalKind.RANKED, "per 100 words", "bold passages", of_texts=True)
CODE_SHARE = Signal(
    "code_share", SignalKind.PROBABILITY, "ratio", "share of the characters that are fenced code", of_texts=True
)
EMOJI = Signal("emoji", SignalKind.BINARY, "ratio", "the answer has an emoji", of_texts=True)
VERSION = "markdown-1"  # raise it with every change of what counts as a mark
_EMOJI = re.compile(
    "[\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff\u2600-\u26ff\u2705\u2728\u274c\u2753-\u2757\u2764\u2b50]"
)


def observe_list_share(trace: Trace) -> Observation | None:
    """Return the share of the lines that begin an item of a list, empty lines and code aside."""
    text = answer_of(trace)
    if text is None:
        return None
    if "\n" not in text:
        return Observation(LIST_SHARE.name, VERSION, float(is_item(text)))
    lines = [line for line in without_fences(text).split("\n") if line and not line.isspace()]
    if not lines:
        return None
    return Observation(LIST_SHARE.name, VERSION, sum([is_item(line) for line in lines]) / len(lines))


def observe_heading(trace: Trace) -> Observation | None:
    text = answer_of(trace)
    if text is None:
        return None
    found = "#" in text and HEADING.search(without_fences(text)) is not None
    return Observation(HEADINGS.name, VERSION, float(found))


def observe_table(trace: Trace) -> Observation | None:
    text = answer_of(trace)
    if text is None:
        return None
    found = "|" in text and "--" in text and TABLE_RULE.search(without_fences(text)) is not None
    return Observation(TABLE.name, VERSION, float(found))


def observe_bold(trace: Trace) -> Observation | None:
    """Return how many passages of 100 words are bold."""
    text = answer_of(trace)
    if text is None:
        return None
    rate = per_100_words(without_fences(text).count("**") // 2, text)
    return None if rate is None else Observation(BOLD.name, VERSION, rate)


def observe_code_share(trace: Trace) -> Observation | None:
    """Return the share of the characters that stand in fences of code, the fences too."""
    text = answer_of(trace)
    if not text:
        return None
    return Observation(CODE_SHARE.name, VERSION, 1.0 - len(without_fences(text)) / len(text))


def observe_emoji(trace: Trace) -> Observation | None:
    text = answer_of(trace)
    if text is None:
        return None
    return Observation(EMOJI.name, VERSION, float(not text.isascii() and _EMOJI.search(text) is not None))
