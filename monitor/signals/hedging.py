"""How unsure and how sure an English answer sounds: the ranked signals `hedging` and `confidence`."""

from __future__ import annotations

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace
from monitor.signals.reading import english_of, per_100_words

HEDGING = Signal(
    "hedging",
    SignalKind.RANKED,
    "per 100 words",
    "how unsure the answer sounds: perhaps, might, I think; English alone",
    of_texts=True,
)
CONFIDENCE = Signal(
    "confidence",
    SignalKind.RANKED,
    "per 100 words",
    "how sure the answer sounds: definitely, always, of course; English alone",
    of_texts=True,
)
VERSION = "words-en-1"  # raise it with every change of the lists
# Found as they stand here: a space in front keeps "unlikely" from being "likely".
HEDGES = (
    "perhaps", "maybe", "possibly", "probably", " likely", "might ", " may ", " seem", "i think ", "i believe ",
)  # fmt: skip
BOOSTERS = (
    "definitely", "certainly", "clearly", "obviously", "absolutely", "undoubtedly", "of course", " always ", " never ",
)  # fmt: skip
READ_CHARACTERS = 1_000  # from the beginning: what an answer sounds like is clear by then, and more would cost
_ASSENTS = ("certainly", "absolutely", "definitely", "of course")  # that open an answer and say no more than yes


def observe_hedging(trace: Trace) -> Observation | None:
    text = _read(trace)
    if text is None:
        return None
    rate = per_100_words(sum([text.count(word) for word in HEDGES]), text)
    return None if rate is None else Observation(HEDGING.name, VERSION, rate)


def observe_confidence(trace: Trace) -> Observation | None:
    """Count the words that rule doubt out; an opening "Certainly!" is a yes, and none of them."""
    text = _read(trace)
    if text is None:
        return None
    found = sum([text.count(word) for word in BOOSTERS]) - text.startswith(_ASSENTS)
    rate = per_100_words(found, text)
    return None if rate is None else Observation(CONFIDENCE.name, VERSION, rate)


def _read(trace: Trace) -> str | None:
    text = english_of(trace)
    return None if text is None else text[:READ_CHARACTERS]
