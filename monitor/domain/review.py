"""The review queue: which traces are judged, by whom, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

from monitor.domain.label import PREFERENCE

MAX_CRITERIA_CHARACTERS, MAX_VERSION_CHARACTERS = 20_000, 100


class Reason(StrEnum):
    """Why a trace is in the queue."""

    FLOOR = "floor"  # drawn among all
    DISAGREEMENT = "disagreement"  # drawn with a higher probability: the reward models disagree on it
    ALARM = "alarm"  # an example of an open alarm; counted by no estimate
    GOLD = "gold"  # its verdict is known: it tells how annotators judge


class ItemState(StrEnum):
    OPEN = "open"  # fewer annotators than wanted
    DONE = "done"  # as many labels as wanted
    MISSING = "missing"  # nobody could judge it, or its text is gone


class Answer(StrEnum):
    LABEL = "label"
    SKIP = "skip"  # the annotator cannot say; another one is asked
    FLAG = "flag"  # something is wrong with the item: it is asked of nobody else


@dataclass(frozen=True, slots=True)
class Queued:
    """Where the queue stands with a trace."""

    state: ItemState
    wanted: int  # annotators


@dataclass(frozen=True, slots=True)
class SelectionPlan:
    """With which probability a trace is selected: decided before any label of it is seen.

    *least* is what every eligible trace has; what adds to it hangs on the reward models alone.
    """

    revision: int = 0
    kinds: tuple[str, ...] = (PREFERENCE,)  # of labels that are asked for
    least: float = 0.0  # 0: nothing is selected
    disputed: float = 0.0  # the probability of a trace whose disagreement is above the limit; `least` or more
    disagreement_above: float | None = None  # in the scorer's unit; None: no trace is disputed

    def probability(self, disagreement: float | None) -> float:
        limit = self.disagreement_above
        if limit is None or disagreement is None or disagreement <= limit:
            return self.least
        return max(self.disputed, self.least)


@dataclass(frozen=True, slots=True)
class Selection:
    """What was decided on one trace for one kind of label."""

    kind: str
    probability: float
    least: float  # that any trace had then
    selected: bool
    reason: Reason = Reason.FLOOR
    wanted: int = 1  # annotators


@dataclass(frozen=True, slots=True)
class AnswerGiven:
    """An annotator's answer to one item, as the page sends it."""

    item_id: int
    answer: Answer
    value: float | None = None  # of what stood first; the queue turns it to the policy's own
    seconds: float | None = None
    note: str = ""
    dimensions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message of a prompt, in a form that the API can describe."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ShownItem:
    """An item as its annotator sees it, who is told neither which answer is the policy's nor why it is asked for."""

    item_id: int
    kind: str
    messages: tuple[ShownMessage, ...]
    answers: tuple[str, ...]  # the two to choose from, in the order in which they stand; or the only one
    criteria_version: str


@dataclass(frozen=True, slots=True)
class Criteria:
    """What annotators judge by."""

    version: str
    text: str


@dataclass(frozen=True, slots=True)
class KeptCriteria:
    """A version of them, as it is kept."""

    version: str
    text: str
    in_force: bool
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Progress:
    answered_today: int  # by the annotator, in UTC
    open: int  # items of the queue that want an answer, of anybody
    budget: int  # items a day


@dataclass(frozen=True, slots=True)
class Hand:
    """What an annotator has before them, in the order in which they got it."""

    items: tuple[ShownItem, ...]
    criteria: Criteria
    progress: Progress
    annotator: str


@dataclass(frozen=True, slots=True)
class ReviewStatus:
    """How the queue stands."""

    items: Mapping[str, int]  # by `ItemState`: the open ones, and the others of the last seven days
    answers: Mapping[str, int]  # of the last day, by `Answer`
    plan: SelectionPlan | None  # None until the leader has planned
    daily_budget: int  # items


@dataclass(frozen=True, slots=True)
class TakenBack:
    """An answer that was undone: its item again, as it was shown."""

    item: ShownItem
    progress: Progress


def drawing_key(secret: str) -> bytes:
    """Return *secret* as a key of `draw`."""
    return blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=32).digest()


def draw(key: bytes, *parts: str) -> float:
    """Return a number from 0 to below 1, uniform over *parts*, that nobody can tell who does not know *key*."""
    digest = blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) * 2.0**-53
