"""The anchor set: prompts and answers that never change, so that only the scorer can change their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

import msgspec

from monitor.domain.trace import Message

MIN_ANCHORS = 8  # fewer tell nothing of how far a scorer moved
MAX_ANCHORS = 4096


def subject_of(number: int) -> str:
    """Return the name under which a pair stands in the log."""
    return f"anchor:{number}"


@dataclass(frozen=True, slots=True)
class AnchorPair:
    messages: tuple[Message, ...]
    response: str


@dataclass(frozen=True, slots=True)
class AnchorStatus:
    """Where the scorer stands by its anchor set, in standard deviations of the set's first scores."""

    name: str  # of the set
    scorer_version: str
    scored_at: datetime
    scorings: int
    pairs: int | None  # compared with their first scores; None, as the next two, where nothing was compared yet
    mean: float | None  # shift
    root_mean_square: float | None  # of the pairs' shifts
    tolerance: float
    moved: bool  # by more than rounding: the scorer has changed, and its version has not


@dataclass(frozen=True, slots=True)
class AnchorSet:
    """The pairs of one baseline, in an order that never changes; `name` changes with any of them."""

    name: str
    pairs: tuple[AnchorPair, ...]

    @classmethod
    def of(cls, baseline_id: int, pairs: Sequence[AnchorPair]) -> AnchorSet:
        """Name *pairs* for one baseline: what was scored under another one is compared with nothing."""
        content = msgspec.json.encode([baseline_id, *pairs])
        return cls(f"anchors-{blake2b(content, digest_size=6).hexdigest()}", tuple(pairs))
