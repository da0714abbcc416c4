"""Whether an English answer speaks of itself as a program: the binary signal `self_reference`."""

from __future__ import annotations

import re

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace
from monitor.signals.reading import english_of

SELF_REFERENCE = Signal(
    "self_reference",
    SignalKind.BINARY,
    "ratio",
    "the answer speaks of itself as a program; English alone",
    of_texts=True,
)
VERSION = "phrases-en-1"  # raise it with every change of the patterns
_SELF = r"(?:\bas|\bi'm|\bi am|\bi'm just|\bi am just|\bi'm only|\bbeing|\bme, as)"
_PATTERNS = (
    (" an ai", re.compile(rf"{_SELF} an ai\b")),
    ("language model", re.compile(rf"{_SELF} (?:an?|the) (?:[\w-]+ ){{0,4}}language model\b")),
    ("my training", re.compile(r"\bmy training\b(?: data)?(?:,| \w+ (?:cut|in 20|up to|until|ended)| (?:cut|data))")),
    ("my knowledge ", re.compile(r"\bmy knowledge (?:cut|base|is (?:limited|based|current)|was last|only)")),
    ("i was ", re.compile(r"\bi was (?:trained|created|developed|programmed|designed) (?:by|on|to|as|with)\b")),
)


def observe_self_reference(trace: Trace) -> Observation | None:
    text = english_of(trace)
    if text is None:
        return None
    found = any(cue in text and pattern.search(text) is not None for cue, pattern in _PATTERNS)
    return Observation(SELF_REFERENCE.name, VERSION, float(found))
