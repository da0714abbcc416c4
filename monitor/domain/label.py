"""Labels: what people, or models in their place, say of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

import msgspec

PREFERENCE = "preference"  # of the trace's answer over its reference response: 1 won, .5 tie, 0 lost
REFUSAL = "refusal"  # 1: the answer refuses, in full or in part
FULL = "full"  # a dimension of such a label: 1 in full, 0 in part; a label without it was asked no more
RATING = "rating"  # a user's thumb: 1 up, 0 down; nobody decided who gives one
# What a user did after the answer: 1 did, 0 takes it back. Of an edit, the share of the answer that was changed.
ESCALATION, REOPEN, EDIT, REGENERATION, ABANDONMENT = "escalation", "reopen", "edit", "regeneration", "abandonment"
KIND_PATTERN = "^[a-z][a-z0-9_]{0,63}$"  # of these, and of any other kind


class LabelSource(StrEnum):
    HUMAN = "human"  # an annotator
    AI = "ai"  # a model in an annotator's place
    USER = "user"  # whoever the answer was for


class LabelOutcome(StrEnum):
    """What became of a label that came: a metric label, and the API's answer."""

    STORED = "stored"
    CORRECTED = "corrected"  # stored, and later than what the same id or annotator said before
    KNOWN = "known"  # the same content came before
    INVALID = "invalid"  # a dead letter, or refused by the API

    @property
    def is_new(self) -> bool:
        return self in {LabelOutcome.STORED, LabelOutcome.CORRECTED}


@dataclass(frozen=True, slots=True)
class Label:
    """One judgement of one trace's answer.

    A later label of the same annotator on the same trace, kind and criteria corrects an earlier one.
    """

    label_id: str
    timestamp: datetime  # UTC, aware: when it was given
    trace_id: str
    kind: str  # PREFERENCE, REFUSAL, RATING, "correct", or the project's own
    value: float  # 0 to 1
    annotator_id: str | None = None
    criteria_version: str | None = None
    inclusion_probability: float | None = None  # with which the trace was chosen to be labelled, above 0
    dimensions: Mapping[str, float] = field(default_factory=dict)  # 0 to 1 each
    source: LabelSource = LabelSource.HUMAN

    def digest(self) -> bytes:
        """Return 16 bytes that tell this label from every other content, under the same id too."""
        return blake2b(msgspec.json.encode(self, order="sorted"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """One content of a label, as it is kept."""

    label: Label
    received_at: datetime
    withdrawn_at: datetime | None  # its annotator took it back: it stays, and counts no more
    latest: bool  # of its id, and of its annotator on this kind and criteria version


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the labels of one kind on one trace come to: the mean of each annotator's latest."""

    value: float  # 0 to 1
    annotators: int
    labelled_at: datetime  # of the latest
    probability: float | None  # the least that one of them states
