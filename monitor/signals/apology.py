"""Whether an English answer opens with an apology: the binary signal `apology`."""

from __future__ import annotations

import re

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace
from monitor.signals.reading import english_opening

APOLOGY = Signal(
    "apology", SignalKind.BINARY, "ratio", "the answer opens with an apology; English alone", of_texts=True
)
VERSION = "phrases-en-1"  # raise it with every change of the patterns
_APOLOGY = re.compile(
    r"\bsorry,? (?:but|for|about|that|to|if|i|we|,)|^[\W_]*(?:so |very |oh,? )?sorry\b|\b(?:i'm|i am|we're|we are)"
    r"(?: so| very| truly| really| terribly)? sorry\b|\b(?:i|we)(?: do| must| sincerely| deeply|'d like to| would like"
    r" to)? apologi[sz]e|\b(?:my|our)(?: sincere(?:st)?| deepest)? apologies|\bapologies (?:for|if|,)"
    r"|^[\W_]*apologies\b|\b(?:forgive|pardon) (?:me|my)\b"
)
_CUES = ("sorry", "apolog", "forgive", "pardon")


def observe_apology(trace: Trace) -> Observation | None:
    opening = english_opening(trace)
    if opening is None:
        return None
    found = any(cue in opening for cue in _CUES) and _APOLOGY.search(opening) is not None
    return Observation(APOLOGY.name, VERSION, float(found))
