"""What is followed about a trace, and how its values are to be read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct


class SignalKind(StrEnum):
    BINARY = "binary"  # 0 or 1; the value itself is bet on
    LENGTH = "length"  # a count with a heavy tail
    RANKED = "ranked"  # any real number; its rank in the baseline is bet on
    PROBABILITY = "probability"  # between 0 and 1; the value itself is bet on
    ESTIMATE = "estimate"  # a rate that few labels correct: its values leave 0 to 1, and their mean does not
    MIX = "mix"  # which of several kinds; the share of each is bet on


@dataclass(frozen=True, slots=True)
class Signal:
    name: str
    kind: SignalKind
    unit: str
    meaning: str = ""  # in one line, for people
    of_texts: bool = False  # read of the prompt and the answer alone: both are kept, so they can be read again


# What the reward models tell; what a trace tells by itself stands in `monitor.signals`.
REWARD = Signal("reward", SignalKind.RANKED, "reward", "how good the reward models find the answer")
DISAGREEMENT = Signal("disagreement", SignalKind.RANKED, "reward", "how far the reward models are apart")

# What the reward models tell of the anchor set (`drift.anchor`): no baseline holds it, and no detector bets on it.
ANCHOR_REWARD = Signal("anchor_reward", SignalKind.RANKED, "reward")
ANCHOR_FIRST_REWARD = Signal("anchor_first_reward", SignalKind.RANKED, "reward")  # of its pairs when they were traces

# How production's answer differs from the released policy's to the same prompt (`drift.control`).
CONTROL_LENGTH = Signal(
    "control_length", SignalKind.RANKED, "log ratio", "how much longer the answer is than the released policy's"
)
CONTROL_REFUSAL = Signal(
    "control_refusal", SignalKind.RANKED, "difference", "the answer refuses and the released policy's does not"
)


class Observation(Struct, frozen=True, gc=False):
    """One signal's value on one trace.

    `scorer_version` names what computed the value; values of two versions are
    never compared with each other.
    """

    signal: str
    scorer_version: str
    value: float
