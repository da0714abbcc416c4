"""Whether an English answer sends its user to a professional, or says that it is no advice: `disclaimer`."""

from __future__ import annotations

import re

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace
from monitor.signals.reading import english_of

DISCLAIMER = Signal(
    "disclaimer",
    SignalKind.BINARY,
    "ratio",
    "the answer sends its user to a professional, or is no advice; English alone",
    of_texts=True,
)
VERSION = "phrases-en-1"  # raise it with every change of the patterns
_WHO = (
    r"(?:professional|expert|specialist|doctor|physician|dentist|pharmacist|dietitian|nutritionist|therapist|counselor"
    r"|veterinarian|vet|provider|lawyer|attorney|solicitor|accountant|advis[eo]r|planner|electrician|authority)s?\b"
)
# Each begins with its cue: where the cue is not found, the pattern is not tried.
_PATTERNS = tuple(
    (cue, re.compile(cue + rest))
    for cue, rest in (
        ("consult", rf"(?:ing)? (?:with )?(?:an?|your|the|with|local)? ?(?:[\w-]+ (?:or )?){{0,4}}?{_WHO}"),
        ("speak ", rf"(?:to|with) (?:an?|your) (?:[\w-]+ (?:or )?){{0,3}}?{_WHO}"),
        ("seek ", r"(?:out )?(?:professional|medical|legal|financial|expert|immediate|emergency)\b"),
        (" a substitute for", r" (?:professional|medical|legal|financial|expert|proper)"),
        (" purposes only", r"\b"),
        ("not ", r"(?:intended |meant )?(?:as |to be |constitute )?(?:medical|legal|financial|tax|investment) advice"),
        ("not a", r"n? (?:licensed |qualified |medical |legal |financial )*(?:doctor|physician|lawyer|attorney)\b"),
    )
)


def observe_disclaimer(trace: Trace) -> Observation | None:
    text = english_of(trace)
    if text is None:
        return None
    found = any(cue in text and pattern.search(text) is not None for cue, pattern in _PATTERNS)
    return Observation(DISCLAIMER.name, VERSION, float(found))
