"""What is followed about a trace, and how its values are to be read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SignalKind(StrEnum):
    BINARY = "binary"  # 0 or 1; the value itself is bet on
    LENGTH = "length"  # a count with a heavy tail
    RANKED = "ranked"  # any real number; its rank in the baseline is bet on


@dataclass(frozen=True, slots=True)
class Signal:
    name: str
    kind: SignalKind
    unit: str


RESPONSE_LENGTH = Signal("response_length", SignalKind.LENGTH, "tokens")
REFUSAL = Signal("refusal", SignalKind.BINARY, "ratio")
TRUNCATION = Signal("truncation", SignalKind.BINARY, "ratio")
ERROR = Signal("error", SignalKind.BINARY, "ratio")
NEGATIVE_FEEDBACK = Signal("negative_feedback", SignalKind.BINARY, "ratio")
REWARD = Signal("reward", SignalKind.RANKED, "reward")
DISAGREEMENT = Signal("disagreement", SignalKind.RANKED, "reward")

SIGNALS: dict[str, Signal] = {
    signal.name: signal
    for signal in (RESPONSE_LENGTH, REFUSAL, TRUNCATION, ERROR, NEGATIVE_FEEDBACK, REWARD, DISAGREEMENT)
}


@dataclass(frozen=True, slots=True)
class Observation:
    """One signal's value on one trace.

    `scorer_version` names what computed the value; values of two versions are
    never compared with each other.
    """

    signal: str
    scorer_version: str
    value: float
